"""Releases to deploy: one tiny real model, packaged once, named by as many release manifests as a test wants."""

import io
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from airlock.deployment.building import Given, Parts, build_package, code_of
from airlock.deployment.config import PackageConfig
from airlock.deployment.inputs import ImageInput
from airlock.deployment.outputs import Probabilities
from airlock.governance.manifest import CandidateManifest, DataManifest, ReleaseManifest, put
from airlock.references import Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.layers import open_layers

USE_CASE = "orders"
CLASSES = ["left", "right", "top"]
MAKE_MODELS = Path(__file__).parents[1] / "deployment" / "make_models.py"
TRANSFORM = b"""
import numpy as np


def transform(image):
    return np.asarray(image.convert("L").resize((8, 8)), dtype=np.uint8)[..., np.newaxis]
"""
NUMBERS = itertools.count(1)


class Releases:
    """Makes releases in a stack's stores.

    :param settings: of the stack.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: ArtifactStore = open_layers(settings)
        self.nothing = self.store.put(b"{}")
        self.candidate = self._candidate()
        self.package = self._package()

    def make(self) -> Artifact:
        """Store a release manifest unlike every other."""
        release = ReleaseManifest(
            use_case=USE_CASE,
            classes=CLASSES,
            candidate=self.candidate.digest,
            package=self.package,
            model=self.nothing,
            comparison=self.nothing,
            metrics={"accuracy": 1.0, "number": float(next(NUMBERS))},
        )
        return put(self.store, release)

    def _package(self) -> Artifact:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(MAKE_MODELS), folder]
            subprocess.run(command, check=True, capture_output=True, timeout=600)
            model = (Path(folder) / "soft.tflite").read_bytes()
        config = PackageConfig(
            name=USE_CASE,
            use_case=USE_CASE,
            inputs=[ImageInput(name="image", mode="L", shape=[8, 8, 1], preprocessing=code_of("before.py", TRANSFORM))],
            outputs=[Probabilities(classes=CLASSES)],
            manifest=self.candidate.digest,
            metrics={"accuracy": 1.0},
        )
        samples = [Given(label="left", sent={"image": _picture()})]
        code, licence = {"before.py": TRANSFORM}, b"Free to use.\n"
        parts = Parts(config=config, model=model, code=code, licence=licence, samples=samples)
        with tempfile.TemporaryDirectory() as folder:
            return self.store.put_tree(build_package(parts).write(Path(folder)))

    def _candidate(self) -> Artifact:
        some: dict[str, Any] = dict.fromkeys(
            ("tensors", "model", "evaluation", "picture", "transform_code", "network_code"), self.nothing
        )
        data = DataManifest(
            use_case=USE_CASE,
            classes=CLASSES,
            dataset=DatasetVersion(name=USE_CASE, version=1, digest="sha256:d", rows=1),
            labels=LabelSet(digest="sha256:l", dataset="sha256:d", rows=1),
            split=self.nothing,
            report=self.nothing,
            dropped=self.nothing,
            counts={"train": 1, "test": 1},
        )
        candidate = CandidateManifest(
            use_case=USE_CASE,
            classes=CLASSES,
            data=put(self.store, data).digest,
            dataset=data.dataset,
            labels=data.labels,
            run=TrackingRun(run_id="none", experiment=USE_CASE),
            version=self._registered(),
            parameters={},
            seed=0,
            metrics={"accuracy": 1.0},
            code={},
            environment={},
            **some,
        )
        return put(self.store, candidate)

    def _registered(self) -> ModelVersion:
        """A version in MLflow that can be made champion."""
        with httpx.Client(base_url=f"{self.settings.tracking}/api/2.0/mlflow", timeout=60) as registry:
            registry.post("/registered-models/create", json={"name": USE_CASE})
            source = {"name": USE_CASE, "source": "s3://nowhere/orders"}
            reply = registry.post("/model-versions/create", json=source).raise_for_status()
        return ModelVersion(name=USE_CASE, version=str(reply.json()["model_version"]["version"]))


def _picture() -> bytes:
    values = np.zeros((8, 8), np.uint8)
    values[:, :4] = 255
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()
