"""The parts of an evaluation, put together: the candidate's answers, the champion's, slices, calibration, footprint."""

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airlock.digests import short
from airlock.errors import UserError
from airlock.governance.evaluations import WHOLE_SPLIT, Champion, Evaluation, Footprint, Measurement, SliceFigures
from airlock.references import DatasetVersion
from airlock.steps.asking import Asked, Candidate, answer, ask_champion, load, samples_of
from airlock.steps.context import StepContext
from airlock.steps.slicing import frame_of, listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airlock.governance.manifest import DataManifest
    from airlock.model.evaluation.slices import Slice
    from airlock.model.tensors import Split
    from airlock.steps.evaluate import Inputs

WHOLE = "every sample"


class Model(NamedTuple):
    """A model and what it answered.

    :param probabilities: ``[N, classes]``.
    """

    digest: str
    probabilities: "NDArray[np.float32]"

    @property
    def answers(self) -> "NDArray[np.int64]":
        answers: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return answers


def evaluate(inputs: "Inputs", context: StepContext) -> Evaluation:
    """Measure everything that was not measured before.

    :raises UserError: there is no test sample, or the model does not answer with these classes.
    """
    return Measuring(inputs, context).evaluation()


class Measuring:
    """One evaluation: keeps the loaded model and the samples that its parts share."""

    def __init__(self, inputs: "Inputs", context: StepContext) -> None:
        from airlock.model.evaluation.kept import Kept
        from airlock.steps.held_out import TEST, data_of

        self.inputs = inputs
        self.context = context
        self.kept = Kept(context.sealed)
        self.split = self._split(inputs.split)
        self.data: DataManifest | None = data_of(context, inputs.tensors)
        self.notes: list[str] = []
        self.keras = load(context, inputs.model, inputs.classes, inputs.backend)
        self.now = self._asked(inputs.split, self.split)
        self.before = self._champion() if inputs.beside and inputs.split == TEST else None

    def evaluation(self) -> Evaluation:
        """Return the document."""
        from airlock.model.evaluation.figures import class_figures, confusion_matrix, measure
        from airlock.model.evaluation.showing import predictions

        figures = measure(self.now.probabilities, self.split.y)
        confusion = confusion_matrix(self.split.y, self.now.answers, len(self.inputs.classes))
        per_class = class_figures(confusion, figures.f1_intervals)
        scores = {name: value for name, value in figures.values.items() if name not in ("accuracy", "macro_f1")}
        pictures, texts = self._shown()
        return Evaluation(
            model=self.inputs.model.digest,
            tensors=self.inputs.tensors.digest,
            split=self.inputs.split,
            count=len(self.split.y),
            accuracy=float(confusion.trace() / len(self.split.y)),
            per_class=dict(zip(self.inputs.classes, per_class, strict=True)),
            confusion=confusion.tolist(),
            intervals=figures.intervals,
            predictions=predictions(self.split, self.now.probabilities),
            errors=pictures,
            texts=texts,
            dataset=self._dataset,
            figures=scores,
            calibration=self._calibration(),
            slices=self._slices(),
            champion=self._champion_told(predictions),
            footprint=self._footprint(),
            notes=self.notes,
        )

    @property
    def _dataset(self) -> DatasetVersion | None:
        return self.data.dataset if self.data else None

    def _split(self, name: str) -> "Split":
        from airlock.model.tensors import load_split
        from airlock.steps.held_out import TEST, fetch_some, test_split

        if name == TEST:
            return test_split(self.context, self.inputs.tensors)
        folder = self.context.workdir / f"split_{name}"
        return load_split(fetch_some(self.context, self.inputs.tensors, f"{name}_", folder), name)

    def _asked(self, name: str, split: "Split") -> Model:
        digest, samples = self.inputs.model.digest, samples_of(self.inputs.tensors, name)
        return Model(digest, self.kept.answers(digest, samples, lambda: answer(self.keras, split.x, self.context)))

    def _champion(self) -> Asked | None:
        tensors, name = self.inputs.tensors, self.inputs.split
        candidate = Candidate(tensors, self.inputs.classes, self.split, samples_of(tensors, name))
        try:
            asked = ask_champion(self.context, self.inputs.beside, candidate)
        except UserError as error:  # what is wrong with the champion must not keep a candidate from being measured
            self.notes.append(f"The champion could not be asked: {error}")
            return None
        if self.inputs.against:
            self.notes.append(f"In place of the champion stands the candidate it revises, {short(asked.manifest)}.")
        return asked

    def _champion_told(self, predictions: Any) -> Champion | None:
        if self.before is None:
            return None
        return Champion(
            manifest=self.before.manifest,
            model=self.before.model,
            measured=self._measured(self._before, WHOLE_SPLIT, WHOLE, None),
            predictions=predictions(self.split, self.before.probabilities),
        )

    @property
    def _before(self) -> Model:
        assert self.before is not None
        return Model(self.before.model, self.before.probabilities)

    def _measured(self, model: Model, name: str, rule: str, members: "NDArray[np.bool_] | None") -> Measurement:
        from msgspec.structs import replace

        from airlock.digests import digest_bytes
        from airlock.model.evaluation.figures import measure

        chosen = slice(None) if members is None else members
        ids, truth = self.split.ids[chosen], self.split.y[chosen]
        key = Measurement(
            model=model.digest,
            dataset=self._dataset,
            split=self.inputs.split,
            slice=name,
            rule=rule,
            count=len(truth),
        )
        if not len(truth):
            return key

        def compute() -> Measurement:
            figures = measure(model.probabilities[chosen], truth)
            return replace(key, figures=figures.values, intervals=figures.intervals, time=time.time())

        return self.kept.measurement(key, digest_bytes(ids.tobytes() + truth.tobytes()), compute)

    def _slices(self) -> list[SliceFigures]:
        from airlock.model.evaluation.slicing import Slicer, penultimate

        self._measured(self.now, WHOLE_SPLIT, WHOLE, None)  # kept for tables of several models
        if not self.inputs.slices:
            return []
        features = lambda: penultimate(self.keras, self.split.x)  # noqa: E731 - only clusters need them
        frame = frame_of(self.context, self.data, self.split, self.inputs.classes)
        slicer = Slicer(frame, self.split, partial(listed, self.context), features)
        parts = [part for declared in self.inputs.slices for part in slicer.parts(declared)]
        return [self._judged(part.name, part.declared, part.members) for part in parts]

    def _judged(self, name: str, declared: "Slice", members: "NDArray[np.bool_]") -> SliceFigures:
        from airlock.model.evaluation.judging import Rights, judge

        now = self._measured(self.now, name, declared.rule, members)
        if self.before is None:
            return judge(declared, now, None, None)
        before, truth = self._measured(self._before, name, declared.rule, members), self.split.y
        right, were = ((model.answers == truth)[members] for model in (self.now, self._before))
        return judge(declared, now, before, Rights(right, were) if now.count else None)

    def _calibration(self) -> Any:
        from airlock.model.evaluation.calibration import calibration, fit_temperature

        temperature = None
        if self.inputs.split != "validation" and "validation_x.npy" in self._files:
            validation = self._split("validation")
            temperature = fit_temperature(self._asked("validation", validation).probabilities, validation.y)
        return calibration(self.now.probabilities, self.split.y, temperature)

    @property
    def _files(self) -> dict[str, Any]:
        return self.context.artifacts.listing(self.inputs.tensors)

    def _footprint(self) -> Footprint:
        from airlock.model.evaluation.footprint import footprint

        model = self.inputs.model
        return self.kept.footprint(model.digest, lambda: footprint(self.keras, self.split.x, model.size))

    def _shown(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return pictures and texts of what this model or the champion got wrong, by sample id."""
        from airlock.model.evaluation.showing import chosen, is_picture, pictures

        now = self.now.answers != self.split.y
        before = self._before.answers != self.split.y if self.before else now
        places = chosen(now | before, self.now.probabilities, first=now ^ before)
        if is_picture(self.split.x):
            return pictures(self.split, places), {}
        if self.data is None:
            return {}, {}
        from airlock.data.showing import show

        ids = [self.split.ids[place].decode() for place in places]
        rows = self.context.datasets.take(self.data.dataset, ids, ["sample_id", "content"]).to_pylist()
        shown = {row["sample_id"]: show(row["sample_id"], None, row["content"]) for row in rows}
        images = {name: shown[name].uri.partition(",")[2] for name in ids if shown[name].uri}
        return images, {name: shown[name].text for name in ids if not shown[name].uri}
