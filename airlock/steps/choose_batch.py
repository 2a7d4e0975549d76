"""Choose the samples that people are asked about: unsure ones, different ones, or any."""

from typing import TYPE_CHECKING, Literal

import msgspec

from airlock.errors import DataRejected, UserError
from airlock.references import Artifact, DatasetVersion, LabelSet
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airlock.labeling.predictions import Predicted

ENVIRONMENT = ("numpy", "pillow", "pyarrow", "pylance", "scikit-learn")
SEALED = True  # it reads every sample; the champion runs as it serves, and learns nothing here
JSON_LINES = "application/x-ndjson"
Strategy = Literal["random", "stratified", "least_confidence", "margin", "entropy", "diversity", "mix"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to choose from, and how.

    :param labels: what has a label is not chosen, unless ``include_labelled``.
    :param size: at most that many.
    :param predictions: probabilities by any model, JSON Lines.
    :param champion: digest of the release manifest whose model predicts otherwise; empty for none.
    :param kind: ``image`` or ``text``.
    """

    dataset: DatasetVersion
    labels: LabelSet | None = None
    size: int
    strategy: Strategy = "mix"
    predictions: Artifact | None = None
    champion: str = ""
    include_labelled: bool = False
    kind: Literal["image", "text"] = "image"
    seed: int = 0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param batch: JSON Lines of :class:`~airlock.labeling.tasks.Chosen`, the most urgent first.
    :param strategy: what was done, in words.
    """

    batch: Artifact
    rows: int
    strategy: str


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Choose.

    :raises DataRejected: every sample has a label.
    """
    from airlock.labeling.tasks import Chosen, encode_chosen
    from airlock.stores.labels import LabelStore

    if inputs.size < 1:
        raise UserError(f"A batch of {inputs.size} samples is none.", hint="Give a size of 1 or more.")
    labels = LabelStore(context.database).read(inputs.labels) if inputs.labels else {}
    known = sorted(context.datasets.digests(inputs.dataset))
    candidates = [name for name in known if inputs.include_labelled or name not in labels]
    if not candidates:
        raise DataRejected(
            f"Every sample of {inputs.dataset.name} version {inputs.dataset.version} has a label.",
            hint="Set include_labelled to have labels checked.",
        )
    predicted = _predicted(inputs, candidates, context)
    order, how, urgency = _choose(inputs, candidates, labels, predicted, context)
    chosen = []
    for name in (candidates[index] for index in order):
        said = predicted.get(name)
        told = {"label": said.label, "confidence": said.confidence, "model": said.model} if said else {}
        chosen.append(Chosen(sample_id=name, why=how, urgency=urgency.get(name), **told))  # type: ignore[arg-type]
    stored = context.artifacts.put(encode_chosen(chosen), JSON_LINES)
    context.link("Batch", stored.digest)
    context.metric("chosen", len(chosen))
    return Outputs(batch=stored, rows=len(chosen), strategy=f"{how}, {len(chosen)} of {len(candidates)}")


def _predicted(inputs: Inputs, candidates: list[str], context: StepContext) -> "dict[str, Predicted]":
    from airlock.labeling.predictions import by_champion, read_predictions

    if inputs.predictions is not None:
        return read_predictions(context.artifacts.read(inputs.predictions.digest))
    if inputs.champion and inputs.kind == "image":
        return by_champion(context.artifacts, inputs.champion, context.datasets, inputs.dataset, candidates)
    return {}


def _choose(
    inputs: Inputs,
    candidates: list[str],
    labels: dict[str, str],
    predicted: "dict[str, Predicted]",
    context: StepContext,
) -> tuple[list[int], str, dict[str, float]]:
    """Return indices of candidates, what was done in words, and how urgent each is."""
    from airlock.labeling import selection

    size, strategy = min(inputs.size, len(candidates)), inputs.strategy
    unsure = [name for name in candidates if name in predicted]
    if strategy in ("random", "stratified") or (strategy != "diversity" and not unsure):
        asked = "" if strategy in ("random", "stratified") else f" ({strategy} needs a model, and there is none)"
        group = labels | {name: item.label for name, item in predicted.items()} if strategy == "stratified" else {}
        found = selection.stratified([group.get(name, "") for name in candidates], size, inputs.seed)
        return found, ("stratified" if strategy == "stratified" else "random") + asked, {}
    urgency = _urgency(inputs, unsure, predicted)
    share = {"mix": size - size // 2, "diversity": 0}.get(strategy, size)
    place = {name: index for index, name in enumerate(candidates)}
    most = [place[name] for name in sorted(urgency, key=lambda name: (-urgency[name], name))[:share]]
    if strategy not in ("mix", "diversity") and len(most) == size:
        return most, strategy, urgency
    embeddings = _embed(inputs, candidates, context)
    return [*most, *selection.k_center(embeddings, size - len(most), most, inputs.seed)], strategy, urgency


def _urgency(inputs: Inputs, names: list[str], predicted: "dict[str, Predicted]") -> dict[str, float]:
    import numpy as np

    from airlock.labeling.selection import UNCERTAINTY

    if not names:
        return {}
    measure = UNCERTAINTY.get(inputs.strategy, UNCERTAINTY["entropy"])
    values = measure(np.array([predicted[name].probabilities for name in names], dtype=np.float64))
    return dict(zip(names, values.tolist(), strict=True))


def _embed(inputs: Inputs, names: list[str], context: StepContext) -> "NDArray[np.float64]":
    from airlock.labeling.selection import embed_images, embed_texts
    from airlock.labeling.tasks import contents

    found = [content for _, content in contents(context.datasets, inputs.dataset, names)]
    return embed_texts(found) if inputs.kind == "text" else embed_images(found)
