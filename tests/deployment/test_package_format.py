"""The package: what is written is what is read, hashed as the artifact store hashes it, and matches its schema."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from airlock.deployment import config as configs
from airlock.deployment.outputs import Probabilities
from airlock.deployment.package import Package, read_package
from airlock.deployment.served import ServedModel
from airlock.errors import IntegrityError, SourceError, UserError
from airlock.stores.artifacts import ArtifactStore

MakePackage = Callable[..., Package]


class TestWrittenPackage:
    def test_has_the_promised_files(self, make_package: MakePackage) -> None:
        assert sorted(make_package().files) == [
            "LICENSE", "airlock.json", "model.tflite", "preprocessing.py", "samples.json",
            "samples/00.png", "samples/01.png", "samples/02.png",
        ]  # fmt: skip

    def test_is_read_back_with_the_digest_of_the_artifact_store(
        self, make_package: MakePackage, artifacts: ArtifactStore, tmp_path: Path
    ) -> None:
        package = make_package()
        folder = package.write(tmp_path / "package")
        assert read_package(folder).digest == package.digest == artifacts.put_tree(folder).digest

    def test_states_the_answers_of_its_own_model(self, make_package: MakePackage) -> None:
        package = make_package()
        assert [item.difference for item in ServedModel(package).differences()] == [0, 0, 0]
        for sample in package.samples:
            answered = sample.outputs["probabilities"]
            best = answered.index(max(answered))
            assert package.config.classes[best] == sample.label

    def test_is_built_twice_with_equal_bytes(self, make_package: MakePackage) -> None:
        assert make_package().digest == make_package().digest

    def test_serving_leaves_nothing_behind_in_the_folder(self, make_package: MakePackage, tmp_path: Path) -> None:
        folder = make_package().write(tmp_path / "package")
        ServedModel(read_package(folder)).require_samples()
        assert read_package(folder).digest == make_package().digest


class TestSchema:
    def test_is_the_published_one(self) -> None:
        published = Path(configs.__file__).with_name("package.schema.json")
        assert json.loads(published.read_text()) == configs.schema()

    def test_accepts_a_real_package(self, make_package: MakePackage) -> None:
        jsonschema.validate(json.loads(make_package().file("airlock.json")), configs.schema())

    def test_and_reader_refuse_an_unknown_field(self, make_package: MakePackage) -> None:
        document = json.loads(make_package().file("airlock.json")) | {"colour": "red"}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, configs.schema())
        with pytest.raises(UserError, match="colour"):
            configs.decode_config(json.dumps(document).encode())


class TestBrokenPackage:
    def test_with_a_changed_byte_is_not_what_its_digest_says(self, make_package: MakePackage) -> None:
        package = make_package()
        altered = Package(package.files | {"LICENSE": b"Other terms."})
        with pytest.raises(IntegrityError, match="hashes to"):
            altered.require(package.digest)

    def test_with_an_added_file_is_not_what_its_digest_says(self, make_package: MakePackage) -> None:
        package = make_package()
        with pytest.raises(IntegrityError):
            Package(package.files | {"extra": b""}).require(package.digest)

    def test_whose_samples_say_something_else_is_not_served(self, make_package: MakePackage) -> None:
        package, other = make_package("soft"), make_package("sharp")
        mixed = Package(package.files | {"model.tflite": other.files["model.tflite"]})
        with pytest.raises(IntegrityError, match="3 of the package's samples differ"):
            ServedModel(mixed).require_samples()

    def test_with_another_number_of_classes_than_its_model_says_both(self, make_package: MakePackage) -> None:
        with pytest.raises(UserError, match=r"is float32 \[N, 3\], airlock.json says float32 \[N, 2\]"):
            make_package(outputs=[Probabilities(classes=["left", "right"])])

    def test_without_a_model_names_the_file(self, make_package: MakePackage) -> None:
        files = {name: data for name, data in make_package().files.items() if name != "model.tflite"}
        with pytest.raises(UserError, match=r"model\.tflite"):
            ServedModel(Package(files))

    def test_with_a_cut_model_says_so(self, make_package: MakePackage) -> None:
        package = make_package()
        with pytest.raises(UserError, match="not a LiteRT model"):
            ServedModel(Package(package.files | {"model.tflite": package.files["model.tflite"][:900]}))

    def test_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="nowhere"):
            read_package(tmp_path / "nowhere")
