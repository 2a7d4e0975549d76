"""The cache: reuse only what was found and verified, and say why not."""

import ast
from pathlib import Path

import msgspec
import pytest

from airlock.settings import Settings
from airlock.steps import source
from airlock.steps.cache import StepCache, key_of
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.registry import STEPS
from airlock.steps.source import reachable, source_digest
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.verification import Verifier


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path), artifacts=(tmp_path / "artifacts").as_uri())


@pytest.fixture
def store(home: Settings) -> ArtifactStore:
    return open_artifacts(home.artifacts)


@pytest.fixture
def cache(home: Settings, store: ArtifactStore) -> StepCache:
    return StepCache(store, Verifier(home))


def spec(run: str = "r", **inputs: object) -> Spec:
    info = RunInfo(dag="d", run=run, task="t")
    return Spec(step="nothing", inputs=inputs, run=info, result=f"results/{run}.json")


def remember(cache: StepCache, store: ArtifactStore, asked: Spec, content: bytes = b"output") -> Result:
    outputs = {"made": msgspec.to_builtins(store.put(content))}
    result = Result(step=asked.step, status="succeeded", outputs=outputs, started=1.0, ended=2.0)
    cache.record(asked, key_of(asked), result)
    return result


class TestHit:
    def test_the_same_inputs_in_another_run_are_reused(self, cache: StepCache, store: ArtifactStore) -> None:
        result = remember(cache, store, spec("first", value=1))
        assert cache.look_up(spec("second", value=1)).result == result

    def test_an_altered_output_is_never_reused(self, cache: StepCache, store: ArtifactStore, tmp_path: Path) -> None:
        remember(cache, store, spec(value=1))
        next((tmp_path / "artifacts" / "objects").rglob("*/*")).write_bytes(b"altered")
        lookup = cache.look_up(spec(value=1))
        assert lookup.result is None
        assert "was altered" in lookup.reason

    def test_a_deleted_output_is_made_again_and_then_reused(
        self, cache: StepCache, store: ArtifactStore, tmp_path: Path
    ) -> None:
        remember(cache, store, spec(value=1))
        next((tmp_path / "artifacts" / "objects").rglob("*/*")).unlink()
        assert "not in the store" in cache.look_up(spec(value=1)).reason
        again = remember(cache, store, spec(value=1))
        assert cache.look_up(spec(value=1)).result == again


class TestMiss:
    def test_the_first_time_there_is_nothing_to_reuse(self, cache: StepCache) -> None:
        assert cache.look_up(spec(value=1)).reason == "this task has no earlier result"

    def test_it_names_the_input_that_changed(self, cache: StepCache, store: ArtifactStore) -> None:
        remember(cache, store, spec(value=1))
        assert cache.look_up(spec(value=2)).reason == "changed since the last result: input value"

    def test_it_names_changed_source(
        self, cache: StepCache, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        remember(cache, store, spec(value=1))
        monkeypatch.setattr("airlock.steps.cache.source_digest", lambda _step: "sha256:other")
        assert cache.look_up(spec(value=1)).reason == "changed since the last result: source"


class TestSourceDigest:
    def test_it_covers_what_the_step_reaches_and_no_other_step(self) -> None:
        modules = reachable("airlock.steps.ingest")
        assert "airlock.data.ingestion" in modules
        assert "airlock.steps.train" not in modules

    def test_code_that_the_step_reaches_changes_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "sample_steps"
        package.mkdir()
        (package / "__init__.py").touch()
        helper, step = package / "helper.py", package / "step.py"
        step.write_text("from sample_steps import (\n    helper,  # adds\n)\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(source, "module_name", lambda _step: "sample_steps.step")

        def digest(code: str) -> str:
            helper.write_text(code)
            source_digest.cache_clear()
            source._package_root.cache_clear()
            return source_digest("step")

        before = digest("def add(a, b):\n    return a + b\n")
        assert digest("def add(a, b):\n    return a + b\n") == before
        assert digest("def add(a, b):\n    return a - b\n") != before

    @pytest.mark.parametrize("step", STEPS)
    def test_it_finds_every_module_that_importing_would(self, step: str) -> None:
        """Checked against Python's own parser, for every step there is."""
        for path in reachable(f"airlock.steps.{step}").values():
            parsed = {
                name
                for node in ast.walk(ast.parse(path.read_bytes()))
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                if name.startswith("airlock.")
            }
            assert parsed <= set(source._imports(path.read_bytes())), path
