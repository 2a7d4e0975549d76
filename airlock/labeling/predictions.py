"""What a model thinks of samples that have no label yet."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import short
from airlock.errors import UserError
from airlock.labeling.tasks import contents
from airlock.references import DatasetVersion

if TYPE_CHECKING:
    from airlock.stores.artifacts import ArtifactStore
    from airlock.stores.datasets import DatasetStore


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file of predictions.

    :param probabilities: class to probability.
    """

    sample_id: str
    probabilities: dict[str, float]
    model: str = ""


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What a model thinks of one sample.

    :param probabilities: in one order for all samples.
    """

    label: str
    confidence: float
    model: str
    probabilities: tuple[float, ...]


def read_predictions(content: bytes) -> dict[str, Predicted]:
    """Read predictions by sample id.

    :raises UserError: the file is none, or its lines are about different classes.
    """
    try:
        lines = msgspec.json.Decoder(Prediction).decode_lines(content)
    except msgspec.MsgspecError as error:
        raise UserError(
            f"The predictions cannot be read: {error}.", hint='A line is {"sample_id": …, "probabilities": {class: …}}.'
        ) from error
    classes = sorted(lines[0].probabilities) if lines else []
    if wrong := [line.sample_id for line in lines if sorted(line.probabilities) != classes]:
        raise UserError(f"The prediction of {wrong[0][:12]} is about other classes.", hint="Name all classes in all.")
    return {line.sample_id: _predicted(line.probabilities, line.model) for line in lines}


def by_champion(
    artifacts: "ArtifactStore", release: str, datasets: "DatasetStore", dataset: DatasetVersion, wanted: list[str]
) -> dict[str, Predicted]:
    """Ask the model of a release, with its own preprocessing, as it serves.

    :param release: digest of its manifest.
    """
    from airlock.deployment.package import read_package
    from airlock.deployment.served import ServedModel
    from airlock.governance.manifest import ReleaseManifest, load

    manifest = load(artifacts, release, ReleaseManifest)
    with tempfile.TemporaryDirectory(prefix="airlock-champion-") as folder:
        model = ServedModel(read_package(artifacts.fetch(manifest.package, Path(folder) / "package")))
    expected, name = model.config.inputs[0].name, f"{manifest.use_case} {short(release)}"
    found = {}
    for sample_id, content in contents(datasets, dataset, wanted):
        answer = model.predict({expected: content}, name=sample_id[:12])
        found[sample_id] = _predicted(answer["probabilities"], name)
    return found


def _predicted(probabilities: dict[str, float], model: str) -> Predicted:
    ordered = tuple(probabilities[name] for name in sorted(probabilities))
    label = max(sorted(probabilities), key=lambda name: probabilities[name])
    return Predicted(label=label, confidence=probabilities[label], model=model, probabilities=ordered)
