"""``airlock package check``: every check fails on a package that breaks it, and says the way out."""

import json
import re
from collections.abc import Callable

import msgspec
import pytest
from onnx_models import onnx_model
from typer.testing import CliRunner

from airlock.cli import app
from airlock.deployment import outputs, packaging
from airlock.deployment.building import Given, Parts, build_package, code_of
from airlock.deployment.checking import check_folder
from airlock.deployment.config import Licences, Limits, PackageConfig
from airlock.deployment.inputs import TextInput
from airlock.deployment.package import Package
from airlock.deployment.report import Check, Report
from airlock.errors import ModelError, UserError

pytestmark = pytest.mark.integration
MakePackage = Callable[..., Package]
BEFORE = b"""
import time

import numpy as np

INPUT = "text"


def transform(text, seconds=0.0, mebibytes=0, unlike_itself=False):
    time.sleep(seconds)
    np.ones(mebibytes << 17)
    time.sleep(0.2 if mebibytes else 0.0)
    jitter = time.perf_counter_ns() % 200 if unlike_itself else 0
    return np.asarray([len(text) % 256 // 2 + jitter, text.count("a")], np.uint8)
"""


def texts(limits: Limits | None = None, model: bytes | None = None, **parameters: object) -> Package:
    config = PackageConfig(
        name="counts", use_case="counts", manifest="sha256:0", engine="onnx", model="model.onnx",
        licences=Licences(code="Apache-2.0 OR MIT", data="LicenseRef-ours"),
        inputs=[TextInput(name="text", shape=[2], max_characters=1000,
                          preprocessing=code_of("before.py", BEFORE, parameters))],
        outputs=[outputs.Probabilities(classes=["long", "a"])], limits=limits or Limits(),
    )  # fmt: skip
    return build_package(
        Parts(
            config=config,
            model=model or onnx_model({"x": ("uint8", [2])}, {"y": ("float32", [2])}, [("Cast", ["x"], ["y"])]),
            code={"before.py": BEFORE},
            licence=b"Free.\n",
            samples=[Given(label="a", sent={"text": b"banana"})],
        )
    )


@pytest.fixture
def check(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Package], Report]:
    return lambda package: check_folder(package.write(tmp_path_factory.mktemp("package")))


def only(report: Report) -> Check:
    assert len(report.failed) == 1, report.failed
    return report.failed[0]


class TestGoodPackage:
    def test_of_images_passes_everything(self, check: Callable[[Package], Report], package: Package) -> None:
        report = check(package)
        assert report.failed == []
        assert len(report.checks) > 60
        assert 20e6 < report.resident_bytes < 500e6
        assert 0 < report.slowest_seconds < 5

    def test_shows_a_table_or_json_and_exits_with_0(self, package: Package, tmp_path: object) -> None:
        folder = package.write(tmp_path / "package")  # type: ignore[operator]
        found = CliRunner().invoke(app, ["package", "check", str(folder)])
        assert found.exit_code == 0, found.output
        assert re.search(r"parity +ok", found.output)
        shown = CliRunner().invoke(app, ["package", "show", str(folder)])
        assert "probabilities" in shown.output
        assert "uint8 [8, 8, 1]" in shown.output
        document = json.loads(CliRunner().invoke(app, ["package", "show", str(folder), "--json"]).output)
        assert document["name"] == "shapes"


class TestBrokenFiles:
    """What is found before a server is started."""

    def change(self, package: Package, name: str, old: bytes, new: bytes) -> Package:
        assert old in package.file(name)
        return Package(package.files | {name: package.file(name).replace(old, new)})

    @pytest.mark.parametrize(
        ("name", "old", "new", "group", "words"),
        [
            ("airlock.json", b'"use_case"', b'"use_cases"', "schema", "use_case"),
            ("airlock.json", b'"Apache-2.0"', b'"not declared"', "licence", "of the model is not declared"),
            ("airlock.json", b'"CC0-1.0"', b'"mine, all mine"', "licence", "of the sample data is 'mine, all mine'"),
            ("LICENSE", b"Test data, free to use.\n", b" \n", "licence", "text is empty"),
            ("samples.json", b'"image":', b'"picture":', "samples", "airlock.json names"),
            ("samples.json", b"samples/00.png", b"samples/99.png", "samples", "no file 'samples/99.png'"),
            ("preprocessing.py", b"(8, 8)", b"(8, 8), 0", "model", "preprocessing.py is not the code"),
            ("samples.json", b'"outputs": {', b'"outputs": {"probabilities": [0, 0, 1], "x": {', "samples", "valid"),
        ],
    )
    def test_are_named_with_the_way_out(
        self, check: Callable[[Package], Report], package: Package, name: str, old: bytes, new: bytes, group: str,
        words: str,
    ) -> None:  # fmt: skip
        if group == "licence":  # the rest is tried all the same; a server need not be
            package = Package({key: data for key, data in package.files.items() if key != "samples.json"})
        report = check(self.change(package, name, old, new))
        first = report.failed[0]
        assert (first.group, words in first.detail, bool(first.hint)) == (group, True, True), first
        assert report.start_seconds == 0

    def test_without_samples_says_so(self, check: Callable[[Package], Report], package: Package) -> None:
        assert only(check(Package(package.files | {"samples.json": b"[]"}))).detail == "There is no sample."

    def test_with_other_answers_than_stated_says_how_far(
        self, check: Callable[[Package], Report], make_package: MakePackage
    ) -> None:
        mixed = Package(make_package().files | {"model.tflite": make_package("sharp").files["model.tflite"]})
        assert "3 of the package's samples differ" in only(check(mixed)).detail

    def test_with_preprocessing_unlike_itself_is_found(self, check: Callable[[Package], Report]) -> None:
        assert only(check(texts(unlike_itself=True))).group == "parity"

    def test_exit_with_1_and_say_the_same_as_json(self, package: Package, tmp_path: object) -> None:
        broken = Package(package.files | {"samples.json": b"[]"})
        folder = broken.write(tmp_path / "package")  # type: ignore[operator]
        found = CliRunner().invoke(app, ["package", "check", str(folder), "--json"])
        assert found.exit_code == 1
        report = msgspec.json.decode(found.output, type=Report)
        assert [each.group for each in report.failed] == ["samples"]
        assert "FAILED" in CliRunner().invoke(app, ["package", "check", str(folder)]).output


class TestModelThatIs:
    def test_slow_is_measured(self, check: Callable[[Package], Report]) -> None:
        failed = only(check(texts(Limits(seconds=0.1), seconds=0.15)))
        assert failed.group == "time"
        assert "limits.seconds allows 0.1" in failed.detail

    def test_hungry_is_stopped_and_named(self, check: Callable[[Package], Report]) -> None:
        report = check(texts(Limits(memory_bytes=220 << 20), mebibytes=300))
        found = {each.group: each for each in report.failed}
        assert "and more, limits.memory_bytes allows 220" in found["memory"].detail
        assert "raise limits.memory_bytes" in found["memory"].hint

    def test_answering_nan_is_no_package(self) -> None:
        model = onnx_model(
            {"x": ("uint8", [2])},
            {"y": ("float32", [2])},
            [("Cast", ["x"], ["w"]), ("Neg", ["w"], ["z"]), ("Log", ["z"], ["y"])],
        )
        with pytest.raises(ModelError, match="no finite numbers"):
            texts(model=model)


class TestPackagedModel:
    def test_is_compared_with_the_one_it_was_made_from(
        self, make_package: MakePackage, models: dict[str, bytes]
    ) -> None:
        package = make_package()
        assert packaging.require_same_answers(package, models["soft"], 0.0).difference == 0
        found = packaging.require_same_answers(package, models["sharp"], 0.9)
        assert 0.01 < found.difference < 0.9
        assert found.labels_changed == 0
        with pytest.raises(UserError, match=r"differs by .* max_difference allows 0\.01"):
            packaging.require_same_answers(package, models["sharp"], 0.01)
