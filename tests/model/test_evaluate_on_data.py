"""Evaluate on a committed dataset: slices over its metadata, a champion with another transform, texts."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from airlock.data.images import encode_png
from airlock.governance.evaluations import Evaluation
from airlock.governance.manifest import CandidateManifest, DataManifest, load, put
from airlock.model.evaluation.kept import measurements
from airlock.model.evaluation.report import flips
from airlock.model.storage import save_model
from airlock.model.tracking import Tracking
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.steps.contract import Result
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import open_database
from airlock.stores.datasets import open_datasets
from airlock.stores.labels import Answer, LabelStore
from airlock.stores.layers import open_layers, open_sealed
from tests.model.conftest import builtins, make_spec

pytestmark = pytest.mark.integration
CLASSES = ["dark", "light"]
COUNT = 60
PICTURE = "import numpy as np\ndef transform(image):\n    return np.asarray(image)[..., None]\n"
TURNED = "import numpy as np\ndef transform(image):\n    return 255 - np.asarray(image)[..., None]\n"
TEXT = (
    'import numpy as np\nINPUT = "text"\ndef transform(text):\n    return np.array([text.count("light")], np.float32)\n'
)


class World:
    """The stores, and a dataset whose samples are dark or light: the brightness of each is known to its metadata."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: ArtifactStore = open_layers(settings)
        self.run: TrackingRun = Tracking(settings.tracking).start("light", "made", "chain", {}).reference

    def step(self, name: str, **inputs: Any) -> Result:
        return run_spec(make_spec(name, inputs), self.settings)

    def data(self, contents: list[bytes]) -> Artifact:
        ids = [hashlib.sha256(content).hexdigest() for content in contents]
        levels = list(range(COUNT))
        table = pa.table(
            {
                "sample_id": ids,
                "content": contents,
                "source_split": pa.array([None] * COUNT, pa.string()),
                "source": [f"{'a' if n % 2 else 'b'}/{n}" for n in levels],
                "level": levels,
                "metadata": [f'{{"camera": "{"old" if n < 50 else "new"}"}}' for n in levels],
            }
        )
        dataset, _ = open_datasets(self.settings.datasets).commit("light", table, {})
        labels = LabelStore(open_database(self.settings.database))
        truth = zip(ids, (CLASSES[n >= COUNT // 2] for n in levels), strict=True)
        labels.record(dataset.digest, [Answer(sample_id=each, annotator="s", label=label) for each, label in truth])
        return self.manifest(dataset, labels.resolve(dataset))

    def manifest(self, dataset: DatasetVersion, labels: LabelSet) -> Artifact:
        both = {"dataset": builtins(dataset), "labels": builtins(labels)}
        split = self.step("split", **both, fractions={"train": 0.3, "validation": 0.2, "test": 0.5})
        assert split.failure is None, split.failure
        some = self.store.put(b"{}")
        made = DataManifest(
            use_case="light",
            classes=CLASSES,
            dataset=dataset,
            labels=labels,
            split=msgspec.convert(split.outputs["split"], Artifact),
            report=some,
            dropped=some,
            counts=split.outputs["counts"],
        )
        return put(self.store, made)

    def tensors(self, manifest: Artifact, code: str) -> dict[str, Any]:
        given = {"manifest": builtins(manifest), "code": builtins(self.store.put(code.encode()))}
        result = self.step("transform", **given)
        assert result.failure is None, result.failure
        tensors: dict[str, Any] = result.outputs["tensors"]
        return tensors

    def model(self, folder: Path, shape: tuple[int, ...], dtype: str, threshold: float, sign: float = 1.0) -> Artifact:
        """Store a model that says light above a threshold of the mean, or below it."""
        import keras

        network = keras.Sequential(
            [keras.Input(shape, dtype=dtype), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        )
        size = int(np.prod(shape))
        weights = np.stack([np.full(size, -sign / size), np.full(size, sign / size)], axis=1)
        network.layers[-1].set_weights([weights, np.array([sign * threshold, -sign * threshold])])
        folder.mkdir(exist_ok=True)
        return self.store.put_file(save_model(network, folder / "model.keras"))

    def evaluate(self, model: Artifact, tensors: dict[str, Any], **more: Any) -> tuple[Result, Evaluation]:
        given = {"model": builtins(model), "tensors": tensors, "classes": CLASSES, "run": builtins(self.run)}
        result = self.step("evaluate", **given | more)
        assert result.failure is None, result.failure
        content = self.store.read(result.outputs["evaluation"]["digest"])
        return result, msgspec.json.decode(content, type=Evaluation)

    def champion(self, model: Artifact, tensors: dict[str, Any], data: Artifact) -> str:
        some = self.store.put(b"some")
        manifest = load(self.store, data.digest, DataManifest)
        made = CandidateManifest(
            use_case="light",
            classes=CLASSES,
            data=data.digest,
            dataset=manifest.dataset,
            labels=manifest.labels,
            model=model,
            tensors=msgspec.convert(tensors, Artifact),
            run=self.run,
            version=ModelVersion(name="light", version="1"),
            parameters={},
            seed=0,
            metrics={},
            code={},
            environment={},
            **dict.fromkeys(("evaluation", "picture", "transform_code", "network_code"), some),
        )
        return put(self.store, made).digest


@pytest.fixture
def world(store_settings: Settings, mlflow_server: str) -> World:
    return World(msgspec.structs.replace(store_settings, tracking=mlflow_server))


def pictures() -> list[bytes]:
    return [encode_png(np.full((4, 4), 4 * level, np.uint8)) for level in range(COUNT)]


def test_slices_are_asked_of_the_metadata_of_the_dataset_version(world: World, tmp_path: Path) -> None:
    tensors = world.tensors(world.data(pictures()), PICTURE)
    model = world.model(tmp_path / "m", (4, 4, 1), "uint8", 4 * COUNT / 2 + 18)
    slices = [
        {"name": "near", "where": "25 <= level < 35 and camera == 'old'"},
        {"name": "new", "where": "camera == 'new' and label == 'light'", "min_accuracy": 1.0},
        {"name": "a", "where": "source >= 'a' and source < 'b'"},
        {"name": "groups", "clusters": 2, "on": "pixels"},
    ]
    _, read = world.evaluate(model, tensors, slices=slices)
    near, new, half, *groups = (each.measured for each in read.slices)
    told = read.predictions
    assert told is not None
    wrong = {name for name, *pair in zip(told.samples, told.truth, told.answer, strict=True) if pair[0] != pair[1]}
    assert near.count > 0
    assert near.figures["accuracy"] == pytest.approx(1 - len(wrong) / near.count, abs=1e-5), (
        "all errors are near the border"
    )
    assert new.figures["accuracy"] == 1
    assert 0 < half.count < read.count
    assert sum(each.count for each in groups) == read.count
    assert read.dataset is not None
    found = {(each.slice, each.count) for each in measurements(open_sealed(world.settings), model.digest)}
    assert {("near", near.count), ("whole split", read.count)} <= found


def test_a_champion_sees_the_samples_through_its_own_transform(world: World, tmp_path: Path) -> None:
    data = world.data(pictures())
    own, other = world.tensors(data, PICTURE), world.tensors(data, TURNED)
    right = world.model(tmp_path / "now", (4, 4, 1), "uint8", 4 * COUNT / 2 - 2)
    turned = world.model(tmp_path / "before", (4, 4, 1), "uint8", 255 - 4 * COUNT / 2 + 2, sign=-1.0)
    champion = world.champion(turned, other, data)
    result, read = world.evaluate(right, own, champion=champion)
    assert read.notes == []
    assert read.champion is not None
    assert read.accuracy == read.champion.measured.figures["accuracy"] == 1, "each is right on what it sees"
    assert result.outputs["points_gained"] == 0
    again = world.champion(turned, own, data)
    _, misled = world.evaluate(right, own, champion=again)
    paired = flips(misled)
    assert paired is not None
    assert len(paired.gained) > 0.8 * misled.count, "through the candidate's transform it would be wrong"
    assert (
        open_artifacts(world.settings.artifacts).document(f"tensors/{own['digest'][7:]}/{other['digest'][7:]}.json")
        is None
    )


def test_flipped_texts_are_shown_by_their_beginning(world: World, tmp_path: Path) -> None:
    texts = [f"Sample {n}: " + "light " * n + "<b>&" for n in range(COUNT)]
    data = world.data([text.encode() for text in texts])
    tensors = world.tensors(data, TEXT)
    now = world.model(tmp_path / "now", (1,), "float32", COUNT / 2 - 0.5)
    before = world.model(tmp_path / "before", (1,), "float32", COUNT / 2 + 14.5)
    result, read = world.evaluate(now, tensors, champion=world.champion(before, tensors, data))
    paired = flips(read)
    assert paired is not None
    assert paired.gained
    assert all(flip.text.startswith("Sample ") and not flip.picture for flip in paired.gained)
    page = world.store.read(result.outputs["report"]["digest"]).decode()
    assert "<blockquote>Sample " in page
    assert "<b>&" not in page
