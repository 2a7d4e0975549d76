"""One step from its spec to its result: written once, and only after every output verified."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from airlock.errors import IntegrityError, UserError
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.steps import nothing, runner
from airlock.steps.context import StepContext
from airlock.steps.contract import RunInfo, Spec, decode_result
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import ArtifactStore, open_artifacts

MISSING = Artifact(digest="sha256:" + "0" * 64, size=1)


class Made(msgspec.Struct):
    made: Artifact


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri())


@pytest.fixture
def store(home: Settings) -> ArtifactStore:
    return open_artifacts(home.artifacts)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a function stand in for the work of the step ``nothing``."""

    def use(work: Any) -> None:
        module = ModuleType("stand_in")
        module.Inputs, module.Outputs, module.ENVIRONMENT, module.run = nothing.Inputs, Made, (), work  # type: ignore[attr-defined]
        monkeypatch.setattr(runner, "load_step", lambda _step: module)

    return use


def spec(**inputs: object) -> Spec:
    return Spec(step="nothing", inputs=inputs, run=RunInfo(dag="d", run="r", task="t"), result="results/1.json")


class TestOutcome:
    def test_a_step_that_works_leaves_its_outputs(self, home: Settings, store: ArtifactStore) -> None:
        result = run_spec(spec(value=3), home)
        assert result.outputs == {"value": 3}
        assert decode_result(store.document("results/1.json"), "results/1.json") == result

    def test_a_second_result_of_the_same_try_is_refused(self, home: Settings) -> None:
        run_spec(spec(value=3), home)
        with pytest.raises(UserError, match="already written"):
            run_spec(spec(value=4), home)

    def test_inputs_that_do_not_fit_name_the_field(self, home: Settings) -> None:
        failure = run_spec(spec(value="three"), home).failure
        assert failure is not None
        assert failure.category == "user"
        assert "$.value" in failure.message

    def test_a_missing_output_fails_the_step(self, home: Settings, stand_in: Any) -> None:
        stand_in(lambda inputs, context: Made(made=MISSING))
        result = run_spec(spec(), home)
        assert result.status == "failed"
        assert result.outputs == {}
        assert result.failure is not None
        assert "not in the store" in result.failure.message

    def test_an_output_whose_bytes_changed_fails_the_step(self, home: Settings, stand_in: Any) -> None:
        def work(inputs: nothing.Inputs, context: StepContext) -> Made:
            made = context.artifacts.put(b"right")
            next(Path(home.home, "artifacts", "objects").rglob("*/*")).write_bytes(b"wrong")
            return Made(made=made)

        stand_in(work)
        result = run_spec(spec(), home)
        assert result.failure is not None
        assert "was altered" in result.failure.message

    @pytest.mark.parametrize(
        ("error", "category"),
        [
            (ValueError("no"), "user"),
            (MemoryError(), "resource"),
            (OSError(28, "No space left on device"), "resource"),
            (ConnectionRefusedError("gone"), "infrastructure"),
            (IntegrityError("altered"), "user"),
        ],
    )
    def test_every_exception_gets_a_class(self, home: Settings, stand_in: Any, error: Exception, category: str) -> None:
        def work(inputs: nothing.Inputs, context: StepContext) -> Made:
            raise error

        stand_in(work)
        result = run_spec(spec(), home)
        assert result.failure is not None
        assert result.failure.category == category


class TestProcess:
    def run(self, home: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "airlock.steps", *arguments]
        return subprocess.run(command, env=home.environment(), capture_output=True, text=True, check=False)

    def test_it_reads_the_spec_and_leaves_a_result(self, home: Settings, store: ArtifactStore) -> None:
        store.create_document("specs/1.json", msgspec.json.encode(spec(value=5)))
        assert self.run(home, "nothing", "--spec", "specs/1.json").returncode == 0
        assert decode_result(store.document("results/1.json"), "").outputs == {"value": 5}

    def test_a_missing_spec_is_named(self, home: Settings) -> None:
        ended = self.run(home, "nothing", "--spec", "specs/none.json")
        assert ended.returncode == 2
        assert "specs/none.json" in ended.stderr

    def test_a_spec_for_another_step_is_refused(self, home: Settings, store: ArtifactStore) -> None:
        store.create_document("specs/1.json", msgspec.json.encode(spec()))
        ended = self.run(home, "train", "--spec", "specs/1.json")
        assert ended.returncode == 2
        assert "is for step 'nothing'" in ended.stderr
        assert store.document("results/1.json") is None

    def test_a_failed_step_ends_with_status_1_and_a_result(self, home: Settings, store: ArtifactStore) -> None:
        store.create_document("specs/1.json", msgspec.json.encode(spec(value="x")))
        assert self.run(home, "nothing", "--spec", "specs/1.json").returncode == 1
        assert decode_result(store.document("results/1.json"), "").status == "failed"
