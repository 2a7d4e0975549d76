"""What nobody may do to a gate: refused for everybody before Airflow hears of it, and nothing else is."""

from typing import Any

import pytest

from airlock.plugins.refusals import REFUSALS
from airlock.plugins.routes import GUARDED, READING, UNCONCERNED, Router, endpoint_name, flatten
from tests.plugins.conftest import Api

DAG = "/api/v2/dags/digits_data"
RUN = f"{DAG}/dagRuns/run"
GATE = f"{RUN}/taskInstances/data_gate"
WAYS_OUT = ("under Gates", "airlock gate withdraw", "airflow db clean")
SUCCESS = {"new_state": "success"}
AT_GATE = {"task_id": "data_gate", "dag_id": "digits_data", "dag_run_id": "run"}

REFUSED: dict[str, tuple[str, str, Any]] = {
    "mark success": ("PATCH", GATE, SUCCESS),
    "mark failed": ("PATCH", GATE, {"new_state": "failed"}),
    "mark skipped in capitals": ("PATCH", GATE, {"new_state": "SKIPPED"}),
    "mark by map index": ("PATCH", f"{GATE}/-1", SUCCESS),
    "mark with encodings": ("PATCH", f"{RUN}/taskInstances/data%5Fgate", SUCCESS),
    "mark below what comes before": ("PATCH", f"{RUN}/taskInstances/clean", SUCCESS | {"include_downstream": True}),
    "mark above what comes after": ("PATCH", f"{RUN}/taskInstances/promote", SUCCESS | {"include_upstream": True}),
    "mark a group": ("PATCH", f"{RUN}/taskGroupInstances/end", SUCCESS),
    "mark in bulk": (
        "PATCH",
        f"{RUN}/taskInstances",
        {"actions": [{"action": "update", "entities": [{"task_id": "data_gate", **SUCCESS}]}]},
    ),
    "mark in bulk under wildcards": (
        "PATCH",
        "/api/v2/dags/~/dagRuns/~/taskInstances",
        {"actions": [{"action": "update", "entities": [{"task_id": "clean", **SUCCESS}, AT_GATE | SUCCESS]}]},
    ),
    "mark in bulk from another DAG": (
        "PATCH",
        "/api/v2/dags/other/dagRuns/other/taskInstances",
        {"actions": [{"action": "update", "entities": [AT_GATE | SUCCESS]}]},
    ),
    "delete in bulk": (
        "PATCH",
        f"{RUN}/taskInstances",
        {"actions": [{"action": "delete", "entities": ["clean", "data_gate"]}]},
    ),
    "delete": ("DELETE", GATE, None),
    "clear": ("POST", f"{DAG}/clearTaskInstances", {"dry_run": False, "only_failed": False, "task_ids": ["data_gate"]}),
    "clear a map index": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {"dry_run": False, "only_failed": False, "dag_run_id": "run", "task_ids": [["data_gate", -1]]},
    ),
    "clear below": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": "run",
            "task_ids": ["clean"],
            "include_downstream": True,
        },
    ),
    "clear in past and future": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": "past",
            "task_ids": ["data_gate"],
            "include_future": True,
        },
    ),
    "clear everything": ("POST", f"{DAG}/clearTaskInstances", {"dry_run": "no", "only_failed": False}),
    "end the run": ("PATCH", RUN, {"state": "success"}),
    "fail the run": ("PATCH", RUN, {"state": "failed"}),
    "end runs in bulk": (
        "PATCH",
        "/api/v2/dags/~/dagRuns",
        {"actions": [{"action": "update", "entities": [AT_GATE | {"state": "success"} | {"task_id": None}]}]},
    ),
    "delete runs in bulk": ("PATCH", f"{DAG}/dagRuns", {"actions": [{"action": "delete", "entities": ["run"]}]}),
    "delete the run": ("DELETE", RUN, None),
    "delete a run that was decided": ("DELETE", f"{DAG}/dagRuns/past", None),
    "delete the DAG": ("DELETE", DAG, None),
    "clear the run": ("POST", f"{RUN}/clear", {"dry_run": False}),
    "clear runs": ("POST", "/api/v2/dags/~/clearDagRuns", {"dry_run": False, "dag_runs": [{"dag_run_id": "run"}]}),
    "clear a partition": ("POST", f"{DAG}/clearDagRuns", {"dry_run": False, "partition_key": "x"}),
    "clear partitions": (
        "POST",
        f"{DAG}/clearPartitions",
        {"dry_run": False, "partition_key": "x", "clear_task_instances": True},
    ),
    "create an XCom": ("POST", f"{GATE}/xcomEntries", {"key": "return_value", "value": 1}),
    "edit an XCom": ("PATCH", f"{GATE}/xcomEntries/return_value", {"value": 1}),
    "edit an XCom whose key is a path": ("PATCH", f"{GATE}/xcomEntries/a/../b%2Fc", {"value": 1}),
    "delete an XCom": ("DELETE", f"{GATE}/xcomEntries/return_value", None),
    "write its state store": ("PUT", f"{GATE}/state-store/a/b", {"value": 1}),
    "say that something was approved": ("POST", "/api/v2/assets/events", {"asset_id": 1}),
    "say it with a number in quotes": ("POST", "/api/v2/assets/events", {"asset_id": "1"}),
}
REFUSED["end runs in bulk"][2]["actions"][0]["entities"][0].pop("task_id")
REFUSED["clear runs"][2]["dag_runs"][0]["dag_id"] = "digits_data"

ALLOWED: dict[str, tuple[str, str, Any]] = {
    "mark another task": ("PATCH", f"{RUN}/taskInstances/clean", SUCCESS),
    "mark a task of the same name elsewhere": (
        "PATCH",
        "/api/v2/dags/other/dagRuns/run/taskInstances/data_gate",
        SUCCESS,
    ),
    "a note": ("PATCH", GATE, {"note": "Waiting for Vera."}),
    "a note on the run": ("PATCH", RUN, {"note": "Waiting for Vera."}),
    "clear a gate that is decided": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {"dry_run": False, "only_failed": False, "dag_run_id": "past", "task_ids": ["data_gate"]},
    ),
    "clear what comes before alone": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {"dry_run": False, "only_failed": False, "dag_run_id": "run", "task_ids": ["clean"]},
    ),
    "clear what failed": (
        "POST",
        f"{DAG}/clearTaskInstances",
        {"dry_run": False, "dag_run_id": "run", "task_ids": ["data_gate"]},
    ),
    "look what would be cleared": ("POST", f"{DAG}/clearTaskInstances", {"only_failed": False}),
    "queue the run": ("PATCH", RUN, {"state": "queued"}),
    "end a run that is decided": ("PATCH", f"{DAG}/dagRuns/past", {"state": "failed"}),
    "delete another run": ("DELETE", f"{DAG}/dagRuns/never-asked", None),
    "edit another task's XCom": ("PATCH", f"{RUN}/taskInstances/clean/xcomEntries/data_gate", {"value": 1}),
    "an event of another asset": ("POST", "/api/v2/assets/events", {"asset_id": 2}),
}


def call(api: Api, method: str, path: str, body: Any, by: str = "admin") -> Any:
    return api.client.request(method, path, json=body, headers={"X-Person": by} if by else {})


class TestRefused:
    @pytest.mark.parametrize("what", REFUSED)
    def test_with_a_way_out(self, api: Api, what: str) -> None:
        reply = call(api, *REFUSED[what])
        assert (reply.status_code, api.reached) == (403, []), reply.text
        assert any(way in reply.json()["detail"] for way in WAYS_OUT)

    def test_for_nobody_too(self, api: Api) -> None:
        reply = call(api, "PATCH", GATE, SUCCESS, by="")
        assert (reply.status_code, "Nobody is signed in" in reply.text, api.reached) == (403, True, [])

    @pytest.mark.parametrize(
        "headers",
        [{"X-HTTP-Method-Override": "GET"}, {"X-HTTP-Method": "GET"}, {"Content-Type": "text/plain"}],
        ids=["override", "method", "type"],
    )
    def test_whatever_headers_say(self, api: Api, headers: dict[str, str]) -> None:
        reply = api.client.patch(GATE, content=b'{"new_state": "success"}', headers={"X-Person": "admin"} | headers)
        assert (reply.status_code, api.reached) == (403, [])

    def test_whatever_the_query_says(self, api: Api) -> None:
        reply = call(api, "PATCH", f"{GATE}?_method=GET&update_mask=note", SUCCESS | {"note": "x"})
        assert (reply.status_code, api.reached) == (403, [])

    def test_the_last_of_two_equal_keys_counts(self, api: Api) -> None:
        sent = {"headers": {"X-Person": "admin"}}
        reply = api.client.patch(RUN, content=b'{"state": null, "state": "success"}', **sent)
        assert (reply.status_code, api.reached) == (403, [])
        reply = api.client.patch(RUN, content=b'{"state": "success", "state": null}', **sent)
        assert (reply.status_code, api.reached) == (200, ['{"state": null}'])

    @pytest.mark.parametrize("body", [[SUCCESS], "success", {"new_state": 1}, {"new_state": "success", "x": 1}])
    def test_when_it_cannot_be_understood(self, api: Api, body: Any) -> None:
        reply = call(api, "PATCH", GATE, body)
        assert (reply.status_code, api.reached) == (422, [])


class TestAllowed:
    @pytest.mark.parametrize("what", ALLOWED)
    def test_reaches_airflow(self, api: Api, what: str) -> None:
        reply = call(api, *ALLOWED[what])
        assert (reply.status_code, len(api.reached)) == (200, 1), reply.text


@pytest.fixture(scope="module")
def airflow_app() -> Any:
    """Airflow's own API server, as it is installed."""
    from airflow.api_fastapi.app import create_app

    return create_app(apps="core")


class TestTheTable:
    def test_classifies_every_route_of_airflow_that_writes(self, airflow_app: Any) -> None:
        writing = {
            endpoint_name(route)
            for route in flatten(airflow_app.routes)
            if set(getattr(route, "methods", None) or ()) - READING
        }
        assert writing == set(GUARDED) | set(UNCONCERNED)

    def test_has_a_check_for_all_that_is_guarded(self) -> None:
        assert set(GUARDED) == set(REFUSALS) | {"update_hitl_detail"}
        assert not set(GUARDED) & set(UNCONCERNED)

    @pytest.mark.parametrize("what", REFUSED)
    def test_finds_the_route_by_airflows_own_router(self, airflow_app: Any, what: str) -> None:
        method, path, _ = REFUSED[what]
        scope = {"type": "http", "method": method, "path": path.replace("%5F", "_").replace("%2F", "/"), "headers": []}
        found = Router(airflow_app.routes, GUARDED).find(scope)
        assert found is not None

    @pytest.mark.parametrize("path", [GATE + "/", GATE.upper(), GATE.replace("/dags", "//dags"), GATE + ";a=b/x/y"])
    def test_takes_no_path_that_airflow_does_not_take(self, airflow_app: Any, path: str) -> None:
        scope = {"type": "http", "method": "PATCH", "path": path, "headers": []}
        assert Router(airflow_app.routes, GUARDED).find(scope) is None
