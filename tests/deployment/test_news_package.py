"""News as it is deployed: a text model trained on PyTorch, made smaller under TensorFlow, packaged, served."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from train_news import NEWS

from airlock.deployment import outputs, packaging
from airlock.deployment.building import Given, Parts, build_package, code_of
from airlock.deployment.checking import check_folder
from airlock.deployment.config import Licences, Limits, PackageConfig
from airlock.deployment.inputs import TextInput
from airlock.deployment.package import Package
from airlock.deployment.packaging import Chosen, require_same_answers, require_same_tensors
from airlock.model.preprocessing import Preprocessor

pytestmark = pytest.mark.integration
ARTICLES = {
    "business": "Shares rose as the bank raised its profit forecast and inflation slowed in the economy.",
    "entertainment": "The film won an award and the singer released an album after the music festival.",
    "politics": "The minister told parliament the election manifesto promised a vote on taxes.",
    "sport": "The striker scored twice and the coach praised the match and the championship win.",
    "tech": "The software runs on mobile phones and broadband users download music from servers.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a trained model, its exports, tensors and answers."""
    found = tmp_path_factory.mktemp("news")
    transform = Preprocessor(NEWS / "transform.py")
    np.save(found / "x.npy", np.stack([transform(text, label) for label, text in ARTICLES.items()]))
    np.save(found / "labels.npy", np.arange(len(ARTICLES)))
    for stage in ("train", "export"):
        command = [sys.executable, str(Path(__file__).with_name("train_news.py")), stage, str(found)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
    return found


@pytest.fixture(scope="module")
def package(folder: Path) -> Package:
    code = (NEWS / "transform.py").read_bytes()
    shape = list(np.load(folder / "x.npy").shape[1:])
    config = PackageConfig(
        name="news", use_case="news", manifest="sha256:0", limits=Limits(body_bytes=1 << 20),
        licences=Licences(code="Apache-2.0", data="LicenseRef-BBC-research"),
        inputs=[TextInput(name="text", shape=shape, preprocessing=code_of(packaging.PREPROCESSING, code))],
        outputs=[outputs.Probabilities(classes=list(ARTICLES))],
    )  # fmt: skip
    samples = [Given(label=label, sent={"text": text.encode()}) for label, text in ARTICLES.items()]
    return build_package(
        Parts(
            config=config,
            model=(folder / "small.tflite").read_bytes(),
            code={packaging.PREPROCESSING: code},
            licence=(NEWS / "LICENSE").read_bytes(),
            samples=samples,
        )
    )


def test_is_prepared_as_training_did(package: Package, folder: Path) -> None:
    tensors = zip(ARTICLES, np.load(folder / "x.npy"), strict=True)
    require_same_tensors(package, [Chosen(sample_id=label, label=label, tensor=x) for label, x in tensors])


def test_answers_what_pytorch_answered(package: Package, folder: Path) -> None:
    answers = np.asarray([sample.outputs["probabilities"] for sample in package.samples])
    apart = float(np.abs(answers - np.load(folder / "y.npy")).max())
    print(f"news: at most {apart:.4f} from Keras on PyTorch; {len(package.file('model.tflite')):,} bytes")
    assert apart < 0.02
    assert answers.argmax(axis=1).tolist() == list(range(5))
    found = require_same_answers(package, (folder / "original.tflite").read_bytes(), 0.02)
    assert found.labels_changed == 0


def test_keeps_every_check(package: Package, tmp_path: Path) -> None:
    report = check_folder(package.write(tmp_path / "package"))
    assert report.failed == []
    assert {"text: text too long: 422", "text: not UTF-8: 422"} <= {check.name for check in report.checks}
