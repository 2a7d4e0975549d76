"""The parts of the compress step, put together: files, each made once, and the rows of the table."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.governance.evaluations import Compression, Frontier, Row
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.model.compression.chains import Chain
    from airlock.model.compression.probe import Probed
    from airlock.model.compression.table import Held, Table
    from airlock.model.compression.workshop import Workshop
    from airlock.steps.compress import Inputs

FOLDER = "compressed"


class Compressing:
    """One candidate's compression.

    :raises UserError: a method is not valid, or the candidate's model or samples cannot be read.
    """

    def __init__(self, inputs: "Inputs", context: StepContext) -> None:
        from airlock.governance.manifest import CandidateManifest, load
        from airlock.model.compression.chains import Chain, decode_chains
        from airlock.model.compression.litert import LitertFloat32

        self.inputs = inputs
        self.context = context
        self.candidate = load(context.artifacts, inputs.manifest.digest, CandidateManifest)
        self.chains = decode_chains(inputs.methods)
        self.title = self.candidate.use_case
        self._workshop = self._opened()
        self._probed: dict[str, tuple[Path, Probed]] = {}
        self.original = self._file(Chain(rewrites=[], export=LitertFloat32()))
        self._table = self._begun()

    def rows(self) -> list[Row]:
        """Return the original's row, then one for each method, judged by the rule."""
        from airlock.model.compression.rule import judged

        rows = [self._table.row("original", "litert", self._table.original)]
        for number, chain in enumerate(self.chains, 1):
            rows.append(judged(self._row(chain), self.inputs.rule))
            figures = {"accuracy": rows[-1].measured.accuracy} if rows[-1].measured else {}
            self.context.progress(number, len(self.chains), "method", **figures)
        return rows

    def frontier(self, rows: list[Row], choice: Row | None) -> Frontier:
        """Return the table, with what was picked and what nothing beats marked."""
        from airlock.model.compression.rule import marked

        shown = [msgspec.structs.replace(row, picked=row is choice) for row in rows]
        return Frontier(rule=str(self.inputs.rule), rows=marked(shown))

    def chosen(self, choice: Row, frontier: Frontier) -> tuple[Path, Compression]:
        """Return the file that was picked, and the document about it."""
        path, probed = self._probed[choice.method]
        return path, self._table.compression(choice, probed, frontier)

    def _row(self, chain: "Chain") -> Row:
        name = str(chain)
        try:
            path = self._file(chain)
            probed = self._measured(path)
        except UserError as error:  # what one method cannot do, another may
            return Row(method=name, engine=chain.export.engine, failed=str(error))
        self._probed[name] = path, probed
        return self._table.row(name, chain.export.engine, probed)

    def _measured(self, path: Path) -> "Probed":
        from airlock.model.compression.probe import probe
        from airlock.model.compression.table import TEST

        return probe(path, {name: held.split.x for name, held in self._held.items()}, TEST)

    def _file(self, chain: "Chain") -> Path:
        """Return a chain's file: the one that a try before this one left, or a new one."""
        store, key = self.context.artifacts, self._key(chain)
        path, document = self.context.workdir / f"model-{key[:12]}", f"{FOLDER}/{key}"
        if known := store.document(document):
            return store.fetch(msgspec.json.decode(known, type=Artifact), path)
        self._workshop.make(chain, path)
        store.replace_document(document, msgspec.json.encode(store.put_file(path)))
        return path

    def _key(self, chain: "Chain") -> str:
        """Name a file by everything that decides what is in it."""
        from airlock.model.compression.chains import plain
        from airlock.steps.cache import Key, environment
        from airlock.steps.source import source_digest

        made_of = {
            "model": self.candidate.model.digest,
            "tensors": self.candidate.tensors.digest,
            "seed": self.candidate.seed,
            "chain": plain(chain),
        }
        step = "compress"
        return Key(step=step, source=source_digest(step), inputs=made_of, environment=environment(step)).digest

    def _opened(self) -> "Workshop":
        from airlock.model.backend import load_keras
        from airlock.model.compression.method import Work
        from airlock.model.compression.workshop import Workshop
        from airlock.model.storage import load_model
        from airlock.model.tensors import load_split

        context, candidate = self.context, self.candidate
        load_keras("tensorflow")  # whatever it was trained on: LiteRT and ONNX are written from TensorFlow's graph
        folder = context.fetch(candidate.tensors, "tensors")
        work = Work(
            train=load_split(folder, "train"),
            validation=load_split(folder, "validation"),
            classes=len(candidate.classes),
            seed=candidate.seed,
            fetch=lambda artifact: context.fetch(artifact, f"{artifact.digest[-12:]}.student"),
            report=lambda done, total, figures: context.progress(done, total, "epoch", **figures),
        )
        return Workshop(load_model(context.fetch(candidate.model, "model.keras")), work)

    def _begun(self) -> "Table":
        from airlock.model.compression.table import TEST, VALIDATION, Table
        from airlock.steps.held_out import test_split

        splits = {TEST: test_split(self.context, self.candidate.tensors), VALIDATION: self._workshop.work.validation}
        self._held = {name: self._sliced(split) for name, split in splits.items()}
        return Table(self._held, self._measured(self.original))

    def _sliced(self, split: Any) -> "Held":
        from airlock.model.compression.table import Held
        from airlock.model.evaluation.slicing import Slicer, penultimate
        from airlock.steps.held_out import data_of
        from airlock.steps.slicing import frame_of, listed

        if not self.inputs.slices:
            return Held(split, [])
        frame = frame_of(self.context, data_of(self.context, self.candidate.tensors), split, self.candidate.classes)
        features = partial(penultimate, self._workshop.model, split.x)
        slicer = Slicer(frame, split, partial(listed, self.context), features)
        return Held(split, [part for declared in self.inputs.slices for part in slicer.parts(declared)])
