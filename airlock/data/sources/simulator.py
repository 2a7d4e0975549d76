"""A program that makes samples: any command, or a container image, with its seed and parameters on record."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree, which
from typing import Any, Literal

import msgspec

from airlock.data.download import Report
from airlock.data.samples import Sample, Value
from airlock.data.sources.emitted import Emitted
from airlock.data.sources.files import existing, fingerprint
from airlock.data.sources.folder import Folder
from airlock.data.sources.source import Samples, Sequential
from airlock.data.sources.supervision import Limits, supervise
from airlock.digests import canonical, digest_document
from airlock.errors import SourceError, UserError

OUTPUT = "/output"


class Simulator(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="simulator"
):
    """A command that emits samples; every one is marked as synthetic.

    The command finds its seed, parameters and output folder in its arguments where it says ``{seed}``, ``{output}`` or
    ``{NAME}`` of a parameter, and in ``AIRLOCK_SEED``, ``AIRLOCK_PARAMETERS`` (JSON) and ``AIRLOCK_OUTPUT``.

    :param command: the program and its arguments; no shell.
    :param seed: the same seed and parameters must give the same samples.
    :param parameters: whatever the simulator knows.
    :param emits: ``files``: one folder a class below the output folder; ``lines``: JSON Lines on stdout, each with
        ``text``, ``base64``, ``row`` or ``file`` (in the output folder), and source, label, split, group, metadata.
    :param image: container image to run the command in, without a network, on Docker or Podman.
    :param version: of the simulator, when its command does not say.
    :param files: files it is made of; when one changes its samples are made anew.
    :param timeout: most seconds it may take; likewise ``silence`` without a sign of life on stdout, stderr or in the
        output folder.
    :param max_bytes: most bytes it may emit.
    """

    command: tuple[str, ...]
    seed: int
    parameters: dict[str, Value] = {}
    emits: Literal["files", "lines"] = "files"
    image: str = ""
    version: str = ""
    files: tuple[str, ...] = ()
    timeout: float = 3600.0
    silence: float = 600.0
    max_bytes: int = 8 << 30

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("command is empty")

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["SyntheticSamples"]:
        """Run it to its end, then read what it made.

        :raises SourceError: it fails, or makes nothing.
        :raises ResourceError: it takes too long, is silent for too long, or makes too much.
        """
        folder = workdir / "simulation"
        rmtree(folder, ignore_errors=True)  # of a try that was killed: half a simulation is none
        output, lines = folder / "output", folder / "stdout"
        output.mkdir(parents=True)
        try:
            self._run(output, lines, report)
            with self._emitted(output, lines, report) as samples:
                yield SyntheticSamples(samples, self)
        finally:
            rmtree(folder, ignore_errors=True)

    def fingerprint(self) -> str:
        """Digest of everything that decides what comes out."""
        declared = {
            name: value for name, value in msgspec.to_builtins(self).items() if name not in ("timeout", "silence")
        }
        paths = [existing(name, folder=False).absolute() for name in self.files]
        return digest_document([declared, fingerprint(paths, Path("/"))])

    def provenance(self) -> dict[str, Any]:
        """What a sample's lineage must say: that it is synthetic, and how it can be made again."""
        known = ("command", "seed", "parameters", "image", "version")
        return {"synthetic": True} | {name: msgspec.to_builtins(getattr(self, name)) for name in known}

    @property
    def name(self) -> str:
        """The simulator as messages show it."""
        return f"The simulator {self.image or self.command[0]}"

    def _run(self, output: Path, lines: Path, report: Report) -> None:
        container = f"airlock-simulator-{uuid.uuid4().hex[:12]}" if self.image else ""
        arguments = self._in_container(container, output) if self.image else self._arguments(str(output))
        environment = {**os.environ, **self._environment(str(output))}
        limits = Limits(timeout=self.timeout, silence=self.silence, max_bytes=self.max_bytes)
        try:
            supervise(arguments, environment, output, lines, limits, self.name, report)
        finally:
            if container:  # stopping the client does not stop the container
                subprocess.run([_engine(self.image), "rm", "--force", container], capture_output=True, check=False)

    def _arguments(self, output: str) -> list[str]:
        known = {"seed": str(self.seed), "output": output} | {key: str(item) for key, item in self.parameters.items()}
        arguments = []
        for part in self.command:
            for key, value in known.items():
                part = part.replace("{" + key + "}", value)
            arguments.append(part)
        return arguments

    def _environment(self, output: str) -> dict[str, str]:
        parameters = canonical(self.parameters).decode()
        return {"AIRLOCK_SEED": str(self.seed), "AIRLOCK_PARAMETERS": parameters, "AIRLOCK_OUTPUT": output}

    def _in_container(self, container: str, output: Path) -> list[str]:
        run = [_engine(self.image), "run", "--rm", "--name", container, "--network", "none"]
        run += ["--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{output}:{OUTPUT}"]
        for name, value in self._environment(OUTPUT).items():
            run += ["--env", f"{name}={value}"]
        return [*run, self.image, *self._arguments(OUTPUT)]

    @contextmanager
    def _emitted(self, output: Path, lines: Path, report: Report) -> Iterator[Samples]:
        if self.emits == "lines":
            found = Emitted(lines, output, self.name, self.max_bytes)
            yield Sequential(self._some(found.count()), found.samples)
            return
        with Folder(location=str(output)).open(output, report) as files:
            self._some(len(files))
            yield files

    def _some(self, count: int) -> int:
        if not count:
            where = "a file in its output folder" if self.emits == "files" else "a line on its stdout"
            raise SourceError(
                f"{self.name} ended well and emitted no sample: there is not {where}.",
                hint="Check its parameters and the source's `emits`; files go where AIRLOCK_OUTPUT says.",
            )
        return count


class SyntheticSamples:
    """Samples of a simulator, each marked as synthetic, with the seed and parameters it was made from."""

    def __init__(self, samples: Samples, simulator: Simulator) -> None:
        self.samples = samples
        self.simulator = simulator
        self._made: dict[str, Value] = {
            "synthetic": True,
            "seed": simulator.seed,
            "simulator": simulator.image or simulator.command[0],
            "parameters": canonical(simulator.parameters).decode(),
        }

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        sample = self.samples[index]
        return msgspec.structs.replace(sample, metadata={**sample.metadata, **self._made}, origin="simulator")


def _engine(image: str) -> str:
    found = which("docker") or which("podman")
    if found is None:
        raise UserError(
            f"The simulator {image} is a container image, and this machine has neither docker nor podman.",
            hint="Install one of them on the worker, or give the simulator as a command without an image.",
        )
    return found
