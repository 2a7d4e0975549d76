"""The versioned JSON between an operator and the process that works for it."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from airlock.errors import AirlockError, InfrastructureError, ResourceError, UserError
from airlock.steps.contract import Failure, Result, RunInfo, Spec, decode_result, decode_spec, schemas

SPEC = Spec(step="nothing", inputs={"value": 1}, run=RunInfo(dag="d", run="r", task="t"), result="results/x.json")
RESULT = Result(step="nothing", status="succeeded", outputs={"value": 1}, started=1.0, ended=2.0)


class TestSpec:
    def test_it_survives_its_own_encoding(self) -> None:
        assert decode_spec(msgspec.json.encode(SPEC)) == SPEC

    def test_another_version_is_refused(self) -> None:
        document = msgspec.to_builtins(SPEC) | {"airlock_spec": 2}
        with pytest.raises(UserError, match="airlock_spec"):
            decode_spec(json.dumps(document).encode())

    def test_an_unknown_field_is_refused(self) -> None:
        with pytest.raises(UserError, match="surprise"):
            decode_spec(json.dumps(msgspec.to_builtins(SPEC) | {"surprise": 1}).encode())

    def test_every_try_has_its_own_path(self) -> None:
        run = RunInfo(dag="d", run="manual__2026-01-01T00:00:00+00:00", task="t", attempt=2)
        mapped = msgspec.structs.replace(run, map_index=3)
        assert run.path == "d/manual__2026-01-01T00_00_00_00_00/t/2"
        assert mapped.path == "d/manual__2026-01-01T00_00_00_00_00/t.3/2"


class TestResult:
    @pytest.mark.parametrize("length", [0, 1, 40, len(msgspec.json.encode(RESULT)) - 1])
    def test_one_that_was_cut_short_is_refused(self, length: int) -> None:
        with pytest.raises(UserError, match="cut short"):
            decode_result(msgspec.json.encode(RESULT)[:length], "results/x.json")

    def test_a_missing_one_names_where_it_should_be(self) -> None:
        with pytest.raises(InfrastructureError, match=r"results/x\.json"):
            decode_result(None, "results/x.json")

    @pytest.mark.parametrize(
        ("category", "kind"),
        [("user", UserError), ("infrastructure", InfrastructureError), ("resource", ResourceError)],
    )
    def test_a_failure_comes_back_as_the_same_class(self, category: str, kind: type[AirlockError]) -> None:
        failure = Failure(category=category, kind="E", message="What broke.", hint="Mend it.")  # type: ignore[arg-type]
        with pytest.raises(kind, match=r"nothing: What broke\. Mend it\."):
            msgspec.structs.replace(RESULT, status="failed", failure=failure).raise_failure()


class TestSchemas:
    @pytest.mark.parametrize(("name", "document"), [("spec", SPEC), ("result", RESULT)])
    def test_the_published_schema_is_the_one_of_the_types(self, name: str, document: object) -> None:
        published = Path(__file__).parents[2] / "airlock" / "steps" / "schemas" / f"{name}.schema.json"
        schema = json.loads(published.read_text())
        assert schema == schemas()[name], "Run `airlock schemas` after changing the contract."
        jsonschema.validate(msgspec.to_builtins(document), schema)

    def test_a_document_of_another_version_does_not_fit_the_schema(self) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(msgspec.to_builtins(SPEC) | {"airlock_spec": 2}, schemas()["spec"])
