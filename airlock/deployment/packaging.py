"""From an approved candidate to the parts of its package: which samples, which inputs, which words."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

import airlock
from airlock.deployment.answers import difference
from airlock.deployment.building import Given, code_of
from airlock.deployment.config import CONFIG, Licences, Limits, PackageConfig, Provenance
from airlock.deployment.inputs import AnyInput, Dtype, ImageInput, TextInput
from airlock.deployment.outputs import AnyOutput, ClassOutput, Probabilities
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.errors import IntegrityError, UserError
from airlock.governance.manifest import CandidateManifest
from airlock.model.runnable import Engine
from airlock.model.runtimes import engine_of
from airlock.model.tensors import Split

if TYPE_CHECKING:
    from airlock.stores.datasets import DatasetStore

NO_LICENCE = b"No licence is declared for this model and its samples: all rights stay with their owners.\n"
PREPROCESSING, POSTPROCESSING = "preprocessing.py", "postprocessing.py"
FILES: dict[Engine, str] = {"litert": "model.tflite", "onnx": "model.onnx"}
MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A test sample that goes into the package.

    :param tensor: what training made of it.
    """

    sample_id: str
    label: str
    tensor: NDArray[Any]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a packaged model's answers to its samples are from the original's.

    :param difference: largest absolute one of an output.
    :param labels_changed: samples whose most probable class is another.
    """

    difference: float
    labels_changed: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a use case says of its packages.

    :param licences: of the model and its code, and of the sample data.
    :param outputs: what the model gives; by default the probabilities of the candidate's classes.
    :param limits: what a request and the model may cost.
    :param postprocessing: content of the code file, with ``postprocessing_parameters``.
    """

    licences: Licences = Licences()
    outputs: list[AnyOutput] = []
    limits: Limits = Limits()
    postprocessing: bytes | None = None
    postprocessing_parameters: dict[str, Any] = {}


def config_of(
    candidate: CandidateManifest, digest: str, engine: Engine, said: Said, expected: AnyInput, metrics: dict[str, float]
) -> PackageConfig:
    """Return the configuration for a candidate.

    :param digest: of the candidate manifest.
    :param engine: that the model file is for.
    :param expected: what it takes, see :func:`input_of`.
    :param metrics: figures of the packaged model.
    """
    after = said.postprocessing
    return PackageConfig(
        name=candidate.use_case,
        use_case=candidate.use_case,
        manifest=digest,
        provenance=_provenance(candidate),
        licences=said.licences,
        engine=engine,
        model=FILES[engine],
        inputs=[expected],
        outputs=said.outputs or [Probabilities(classes=candidate.classes)],
        postprocessing=code_of(POSTPROCESSING, after, said.postprocessing_parameters) if after else None,
        metrics=metrics,
        limits=said.limits,
    )


def input_of(candidate: CandidateManifest, transform: bytes, kind: str, tensors: NDArray[Any]) -> AnyInput:
    """Return what a candidate takes.

    :param transform: content of the use case's ``transform.py``; ``kind`` what it transforms, ``image`` or ``text``.
    :param tensors: what training made of samples, the first axis the samples.
    :raises UserError: the number of channels is neither grey's nor colour's.
    """
    shape, dtype = list(tensors.shape[1:]), msgspec.convert(str(tensors.dtype), Dtype)
    code = code_of(PREPROCESSING, transform, candidate.transform_parameters)
    if kind == "text":
        return TextInput(name="text", shape=shape, dtype=dtype, preprocessing=code)
    if shape[-1] not in MODES:
        raise UserError(f"The tensors have {shape[-1]} channels, not 1 or 3.", hint="Change the use case's transform.")
    return ImageInput(name="image", mode=MODES[shape[-1]], shape=shape, dtype=dtype, preprocessing=code)


def _provenance(candidate: CandidateManifest) -> Provenance:
    return Provenance(
        data=candidate.data,
        dataset=candidate.dataset.digest,
        labels=candidate.labels.digest,
        network=candidate.network_code.digest,
        code=candidate.code,
        created_by=f"airlock {airlock.__version__}",
    )


def choose(test: Split, classes: list[str]) -> list[Chosen]:
    """Return one sample of each class that the test split has: the one with the smallest id, so always the same."""
    chosen = []
    for index, label in enumerate(classes):
        places = np.flatnonzero(test.y == index)
        if len(places):
            place = min(places, key=lambda at: bytes(test.ids[at]))
            chosen.append(Chosen(sample_id=test.ids[place].decode(), label=label, tensor=np.asarray(test.x[place])))
    return chosen


def contents_of(datasets: "DatasetStore", candidate: CandidateManifest, chosen: list[Chosen], name: str) -> list[Given]:
    """Return each chosen sample with the content it had when it was trained on.

    :param name: of the input that takes it.

    :raises IntegrityError: the dataset version does not hold a sample it was trained on.
    """
    rows = datasets.take(candidate.dataset, [item.sample_id for item in chosen], columns=["sample_id", "content"])
    content = {row["sample_id"]: row["content"] for row in rows.to_pylist()}
    if missing := [item.sample_id for item in chosen if item.sample_id not in content]:
        raise IntegrityError(
            f"Dataset {candidate.dataset.name} version {candidate.dataset.version} has no sample {missing[0]}.",
            hint="Run the transform step on this dataset version again.",
        )
    return [Given(label=item.label, sent={name: content[item.sample_id]}) for item in chosen]


def require_same_answers(package: Package, original: bytes, most: float) -> Parity:
    """Fail when the packaged model says something else of its samples than the model it was made from.

    A smaller model may change its mind about a sample, so labels are counted and not required; a model that was mixed
    up, or whose input is scaled otherwise, is far beyond any honest difference.

    :param original: content of the candidate's model file before compression, with the same inputs and outputs.
    :param most: largest absolute difference of an output.
    :raises UserError: names the sample.
    """
    smaller, larger = ServedModel(package), _with_model(package, original)
    worst, changed, where = 0.0, 0, ""
    for sample in package.samples:
        tensors = smaller.prepare(package.sent(sample), sample.types, sample.file)
        batch = {name: tensor[np.newaxis] for name, tensor in tensors.items()}
        one, other = smaller.infer(batch), larger.infer(batch)
        apart = max(difference(one[name], other[name]) for name in one)
        if apart > worst:
            worst, where = apart, sample.file
        changed += any(one[each.name].argmax() != other[each.name].argmax() for each in _classes(package))
    if worst > most:
        raise UserError(
            f"The packaged model differs by {worst:.3g} from the one it was made from, on {where}; "
            f"max_difference allows {most:g}.",
            hint="Pass model and original of the same compress task, compress less, or raise max_difference.",
        )
    return Parity(difference=worst, labels_changed=changed)


def _with_model(package: Package, model: bytes) -> ServedModel:
    """Return the package served with another model file of the same inputs and outputs."""
    with tempfile.NamedTemporaryFile(prefix="airlock-original-") as file:
        Path(file.name).write_bytes(model)
        engine = engine_of(Path(file.name))
    config = msgspec.structs.replace(package.config, engine=engine, model=FILES[engine])
    return ServedModel(Package(package.files | {CONFIG: msgspec.json.encode(config), FILES[engine]: model}))


def _classes(package: Package) -> list[ClassOutput]:
    return [each for each in package.config.arrays if isinstance(each, ClassOutput)]


def require_same_tensors(package: Package, chosen: Iterable[Chosen]) -> None:
    """Fail when serving prepares a sample otherwise than training did.

    :raises UserError: names the sample.
    """
    served = ServedModel(package)
    for sample, item in zip(package.samples, chosen, strict=True):
        (tensor,) = served.prepare(package.sent(sample), sample.types, sample.file).values()
        if not np.array_equal(tensor, item.tensor):
            raise UserError(
                f"Sample {item.sample_id} becomes another tensor when it is served than when it was trained on.",
                hint="transform.py must depend on the sample alone, and images must have the mode it expects.",
            )
