"""Tiny real models, the packages made of them, and releases in a real artifact store."""

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from airlock.deployment.building import Given, Parts, build_package, code_of
from airlock.deployment.child import Child
from airlock.deployment.config import Licences, PackageConfig
from airlock.deployment.inputs import ImageInput
from airlock.deployment.options import Options
from airlock.deployment.outputs import Probabilities
from airlock.deployment.package import Package
from airlock.deployment.release import decode_release
from airlock.deployment.shipping import SPOOL
from airlock.governance import manifest as manifests
from airlock.governance.manifest import ReleaseManifest
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import Database
from tests.deployment.serving_machine import Machine

CLASSES = ["left", "right", "top"]
TRANSFORM = b'''
import numpy as np


def transform(image):
    """Return the picture as 8 x 8 grey values."""
    return np.asarray(image.convert("L").resize((8, 8)), dtype=np.uint8)[..., np.newaxis]
'''


def picture(label: str, bright: int = 255, size: int = 8) -> bytes:
    """Return a PNG whose half named by the label is bright."""
    values = np.zeros((size, size), np.uint8)
    half = size // 2
    values[{"left": np.s_[:, :half], "right": np.s_[:, half:], "top": np.s_[:half]}[label]] = bright
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the models ``soft`` and ``sharp``: the same answers with different probabilities."""
    folder = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=300)
    return {path.stem: path.read_bytes() for path in folder.glob("*.tflite")}


@pytest.fixture(scope="session")
def make_package(models: dict[str, bytes]) -> Callable[..., Package]:
    """Give ``make_package(model="soft", use_case="shapes", transform=…)``."""

    def make(model: str = "soft", use_case: str = "shapes", transform: bytes = TRANSFORM, **changes: object) -> Package:
        config = PackageConfig(
            name=use_case,
            use_case=use_case,
            inputs=[
                ImageInput(
                    name="image", mode="L", shape=[8, 8, 1], preprocessing=code_of("preprocessing.py", transform)
                )
            ],
            outputs=[Probabilities(classes=CLASSES)],
            licences=Licences(code="Apache-2.0", data="CC0-1.0"),
            manifest="sha256:" + "c" * 64,
            metrics={"accuracy": 1.0},
        )
        return build_package(
            Parts(
                config=msgspec.structs.replace(config, **changes),
                model=models[model],
                code={"preprocessing.py": transform},
                licence=b"Test data, free to use.\n",
                samples=[Given(label=label, sent={"image": picture(label)}) for label in CLASSES],
            )
        )

    return make


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Give ``png(label, bright=255, size=8)``."""
    return picture


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    """Give a real artifact store, at the place of ``store_settings``."""
    return open_artifacts((tmp_path / "artifacts").as_uri())


def put_release(artifacts: ArtifactStore, package: Package) -> Artifact:
    """Store a package and the release manifest that names it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = artifacts.put_tree(package.write(Path(folder)))
    nothing = artifacts.put(b"{}")
    release = ReleaseManifest(
        use_case=package.config.use_case,
        classes=package.config.classes,
        candidate=package.config.manifest,
        package=tree,
        model=nothing,
        comparison=nothing,
        metrics=package.config.metrics,
    )
    return manifests.put(artifacts, release)


def lay_out(artifacts: ArtifactStore, release: Artifact, folder: Path) -> Path:
    """Fill a folder with ``package/`` and ``release.json``, as a server wants them."""
    data = artifacts.read(release.digest)
    artifacts.fetch(decode_release(data, release.digest).package, folder / "package")
    (folder / "release.json").write_bytes(data)
    return folder


@pytest.fixture
def release_of(artifacts: ArtifactStore) -> Callable[[Package], Artifact]:
    """Give ``release_of(package)``."""
    return partial(put_release, artifacts)


@pytest.fixture
def laid_out(artifacts: ArtifactStore, tmp_path: Path) -> Callable[[Artifact], Path]:
    """Give ``laid_out(release)``."""
    return lambda release: lay_out(artifacts, release, tmp_path / "laid-out")


@pytest.fixture(scope="session")
def package(make_package: Callable[..., Package]) -> Package:
    """Give the package ``soft``."""
    return make_package()


@pytest.fixture(scope="session")
def server(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Give a real server process that is ready."""
    folder = tmp_path_factory.mktemp("server")
    artifacts = open_artifacts((folder / "artifacts").as_uri())
    release = put_release(artifacts, package)
    child = Child(lay_out(artifacts, release, folder), release.digest, "shapes", folder / "log")
    try:
        wait_until(child.ready, seconds=60, what="the server is ready")
        yield child
    finally:
        child.stop()


@pytest.fixture
def serve(
    release_of: Callable[[Package], Artifact], laid_out: Callable[[Artifact], Path], tmp_path: Path
) -> Iterator[Callable[..., Child]]:
    """Give ``serve(package, *arguments, **options)``: one server that is ready, with its spool in ``tmp_path``."""
    children = []

    def start(package: Package, *arguments: str, **options: object) -> Child:
        release = release_of(package)
        file = tmp_path / "options.json"
        file.write_bytes(msgspec.json.encode(Options(**options)))
        spool = tmp_path / SPOOL / "shapes" / release.digest.removeprefix("sha256:")
        given = ["--options", str(file), "--spool", str(spool), *arguments]
        children.append(Child(laid_out(release), release.digest, "shapes", tmp_path / "log", given))
        children[-1].wait_ready(60)
        return children[-1]

    yield start
    for child in children:
        child.stop()


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - started


@pytest.fixture
def wait() -> Callable[..., float]:
    """Give ``wait(condition, seconds, what)``."""
    return wait_until


@pytest.fixture
def machine(
    store_settings: Settings,
    database: Database,
    guard_database: Database,
    free_port: int,
    wait: Callable[..., float],
) -> Iterator[Machine]:
    settings = msgspec.structs.replace(store_settings, serving=f"http://127.0.0.1:{free_port}")
    found = Machine(settings, database, guard_database, wait)
    try:
        yield found
    finally:
        found.stop()
