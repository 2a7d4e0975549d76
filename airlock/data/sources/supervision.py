"""A program that is run to its end, or stopped when it takes too long, is silent for too long or makes too much."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from airlock.data.download import Report
from airlock.errors import ResourceError, SourceError

PAUSE = 0.05
SHOWN = 2000


class Limits(NamedTuple):
    """What a program may use.

    :param timeout: seconds; likewise ``silence`` without a byte more than before.
    :param max_bytes: of its stdout and its output folder together.
    """

    timeout: float
    silence: float
    max_bytes: int


def supervise(
    arguments: list[str],
    environment: Mapping[str, str],
    output: Path,
    lines: Path,
    limits: Limits,
    name: str,
    report: Report,
) -> None:
    """Run a program and wait for its end.

    It stays in the process group of this step, so that whoever kills the step kills it too.

    :param output: folder it writes to; its working folder.
    :param lines: file for its stdout.
    :raises SourceError: it cannot be started, or fails.
    :raises ResourceError: a limit is reached.
    """
    errors = lines.with_name("stderr")
    with lines.open("wb") as stdout, errors.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                arguments, env=dict(environment), cwd=output, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
        except OSError as error:
            raise SourceError(
                f"{name} cannot be started: {error.strerror}.", hint="Check command: a program and its arguments."
            ) from error
        with _stopped_with_us(process):
            _watch(process, [lines, errors], output, limits, name, report)
    if process.returncode:
        raise SourceError(
            f"{name} failed with exit status {process.returncode}: {_tail(errors) or 'it wrote nothing to stderr'}",
            hint="Run its command by hand with the same seed and parameters.",
        )


def _watch(
    process: "subprocess.Popen[bytes]", logs: list[Path], output: Path, limits: Limits, name: str, report: Report
) -> None:
    started = changed = time.monotonic()
    before, pause = -1, PAUSE
    while process.poll() is None:
        made = sum(path.stat().st_size for path in logs) + _bytes_in(output)
        now = time.monotonic()
        if made != before:
            before, changed = made, now
            report(made, 0, "byte")
        _check(made, now - started, now - changed, limits, name)
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0, limits.silence / 4, limits.timeout / 4)
    made = logs[0].stat().st_size + _bytes_in(output)
    _check(made, 0, 0, limits, name)


def _check(made: int, taken: float, silent: float, limits: Limits, name: str) -> None:
    if made > limits.max_bytes:
        raise ResourceError(
            f"{name} emitted {made:,} bytes, above max_bytes={limits.max_bytes:,}.",
            hint="Raise max_bytes, or make less.",
        )
    if taken > limits.timeout:
        raise ResourceError(
            f"{name} did not end within timeout={limits.timeout:g} s.",
            hint="Raise timeout in the source if it needs more.",
        )
    if silent > limits.silence:
        raise ResourceError(
            f"{name} emitted nothing for silence={limits.silence:g} s: it hangs.",
            hint="Look why it waits; raise silence in the source if it thinks for that long.",
        )


@contextmanager
def _stopped_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            _kill_tree(process)


def _kill_tree(process: "subprocess.Popen[bytes]") -> None:
    leader = psutil.Process(process.pid)
    for one in [*leader.children(recursive=True), leader]:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:  # renamed or removed by the program meanwhile
            continue
    return total


def _tail(path: Path) -> str:
    text = path.read_bytes()[-SHOWN:].decode(errors="replace").strip()
    return " | ".join(text.splitlines()[-5:])
