"""OpenLineage events, sent to a real HTTP server on loopback by the operator of a step."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.sdk.exceptions import AirflowFailException

from airlock.operators.openlineage import emit, events, run_id
from airlock.settings import Settings
from airlock.steps.contract import Failure, Result, RunInfo, Spec
from tests.operators.conftest import context
from tests.operators.test_step import NothingOperator

# What https://openlineage.io/spec/2-0-2/OpenLineage.json requires of a run event.
NAMED = {
    "type": "object",
    "required": ["namespace", "name"],
    "properties": {"namespace": {"type": "string"}, "name": {"type": "string"}, "facets": {"$ref": "#/$defs/facets"}},
}
FACET = {
    "type": "object",
    "required": ["_producer", "_schemaURL"],
    "properties": {"_producer": {"format": "uri"}, "_schemaURL": {"format": "uri"}},
}
RUN_EVENT = {
    "type": "object",
    "required": ["eventTime", "producer", "schemaURL", "run", "job"],
    "properties": {
        "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
        "eventTime": {"type": "string", "format": "date-time"},
        "producer": {"type": "string", "format": "uri"},
        "schemaURL": {"type": "string", "format": "uri"},
        "run": {
            "type": "object",
            "required": ["runId"],
            "properties": {"runId": {"type": "string", "format": "uuid"}, "facets": {"$ref": "#/$defs/facets"}},
        },
        "job": NAMED,
        "inputs": {"type": "array", "items": NAMED},
        "outputs": {"type": "array", "items": NAMED},
    },
    "$defs": {"facets": {"type": "object", "additionalProperties": FACET}},
}
RUN = RunInfo(dag="digits_data", run="run_1", task="version")


class Backend:
    """What the server was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 201
        self.events: list[dict[str, Any]] = []


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/api/v1/lineage"
            found.events.append(json.loads(body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Backend(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENLINEAGE_URL", found.url)
        yield found
        server.shutdown()
        thread.join()


def step(failure: Failure | None = None) -> tuple[Spec, Result]:
    samples = {"ref": "artifact", "digest": "sha256:" + "a" * 64, "size": 1}
    dataset = {"ref": "dataset", "name": "digits", "version": 3, "digest": "sha256:" + "b" * 64, "rows": 1797}
    labels = {"ref": "labels", "digest": "sha256:" + "c" * 64, "dataset": dataset["digest"], "rows": 1797}
    model = {"ref": "model", "name": "digits", "version": "4"}
    outputs = {} if failure else {"dataset": dataset, "labels": labels, "version": model, "added": 3}
    return (
        Spec(step="version", inputs={"samples": samples, "dataset": "digits"}, run=RUN, result="results/1.json"),
        Result(
            step="version",
            status="failed" if failure else "succeeded",
            outputs=outputs,
            failure=failure,
            started=1_760_000_000.0,
            ended=1_760_000_002.5,
        ),
    )


SETTINGS = Settings(home="/h", artifacts="s3://lake/artifacts", datasets="s3://lake/datasets", tracking="http://t")


class TestEvents:
    def test_a_step_starts_and_completes_with_what_it_took_and_gave(self, backend: Backend) -> None:
        emit(*step(), SETTINGS)
        start, end = backend.events
        for event in backend.events:
            jsonschema.validate(event, RUN_EVENT, format_checker=jsonschema.FormatChecker())
            assert event["job"] == {"namespace": "airlock", "name": "digits_data.version", "facets": {}} | event["job"]
            assert event["run"]["runId"] == run_id("digits_data/run_1/version/1")
            assert event["run"]["facets"]["parent"]["run"]["runId"] == run_id("digits_data/run_1")
        assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
        assert start["eventTime"] < end["eventTime"]
        assert [(one["namespace"], one["name"]) for one in end["inputs"]] == [
            ("s3://lake/artifacts", "sha256:" + "a" * 64)
        ]
        given = {one["name"]: one for one in end["outputs"]}
        assert set(given) == {"digits", "sha256:" + "c" * 64, "model:digits@4"}
        assert given["digits"]["facets"]["version"]["datasetVersion"] == "sha256:" + "b" * 64
        assert given["digits"]["namespace"] == "s3://lake/datasets"

    def test_one_that_failed_says_why(self, backend: Backend) -> None:
        failure = Failure(category="user", kind="UserError", message="The table is empty.")
        emit(*step(failure), SETTINGS)
        end = backend.events[-1]
        jsonschema.validate(end, RUN_EVENT, format_checker=jsonschema.FormatChecker())
        assert end["eventType"] == "FAIL"
        assert end["run"]["facets"]["errorMessage"]["message"] == "The table is empty."
        assert end["outputs"] == []

    def test_its_run_id_is_the_same_wherever_it_is_computed(self) -> None:
        assert [event.run.runId for event in events(*step(), SETTINGS)] == [run_id(RUN.path)] * 2
        assert run_id("a") != run_id("b")


class TestOperator:
    def test_it_tells_the_backend(self, backend: Backend, home: Path) -> None:
        NothingOperator(value=7).execute(context())
        assert [event["eventType"] for event in backend.events] == ["START", "COMPLETE"]
        assert backend.events[0]["job"]["name"] == "digits_model.task"

    def test_it_tells_of_a_failure(self, backend: Backend, home: Path) -> None:
        with pytest.raises(AirflowFailException):
            NothingOperator(value="seven").execute(context())
        assert backend.events[-1]["eventType"] == "FAIL"

    def test_a_backend_that_refuses_fails_no_step(self, backend: Backend, home: Path) -> None:
        backend.status = 400
        assert NothingOperator(value=7).execute(context()) == {"value": 7}

    @pytest.mark.parametrize("off", ["", "true"])
    def test_without_one_nothing_is_sent(
        self, backend: Backend, home: Path, monkeypatch: pytest.MonkeyPatch, off: str
    ) -> None:
        monkeypatch.setenv("OPENLINEAGE_DISABLED", off) if off else monkeypatch.delenv("OPENLINEAGE_URL")
        NothingOperator(value=7).execute(context())
        assert backend.events == []
