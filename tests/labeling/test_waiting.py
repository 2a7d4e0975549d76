"""Waiting for labelers: the trigger counts, webhooks only wake it, and a server that is away is waited for."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from airflow.sdk.exceptions import TaskDeferred

from airlock import settings as settings_module
from airlock.operators.labeling import WaitForLabelsOperator
from airlock.operators.labeling.trigger import LabelsTrigger
from airlock.plugins.console.app import console
from airlock.settings import Settings
from tests.governed import Governed
from tests.labeling.conftest import Labeler, Site, everybody
from tests.services.label_studio import LabelStudioServer, running

pytestmark = pytest.mark.integration
SECRET = "only-between-us"
POLL = 0.3


def reload(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Let this process, as a triggerer or an API server, have these settings."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    settings_module.settings.cache_clear()


@pytest.fixture
def waiting(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    reload(monkeypatch, site.settings)
    return site


class Waiter:
    """A trigger at work, as in a triggerer."""

    def __init__(self, handed: dict[str, Any], poll: float = POLL, share: float = 1.0) -> None:
        digest = handed["handoff"]["digest"]
        made = LabelsTrigger(handoff=digest, share=share, poll=poll, reminder=3600, conn_id=None)
        path, arguments = made.serialize()
        assert path.endswith("labeling.trigger.LabelsTrigger")
        assert not {"token", "password"} & arguments.keys()
        self.trigger = LabelsTrigger(**arguments)
        self.event: dict[str, Any] | None = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.thread.start()

    async def _run(self) -> None:
        self.event = (await anext(self.trigger.run())).payload

    def ended(self, seconds: float = 30) -> dict[str, Any]:
        self.thread.join(seconds)
        assert self.event is not None, "the trigger did not fire"
        return self.event

    def waits(self, seconds: float = 2) -> None:
        self.thread.join(seconds)
        assert self.event is None, self.event


class TestOperator:
    def operator(self, handed: dict[str, Any]) -> WaitForLabelsOperator:
        return WaitForLabelsOperator(task_id="wait", handoff=handed["handoff"])

    def test_holds_no_slot_and_goes_on_when_told(self, waiting: Site) -> None:
        handed = waiting.handed(waiting.dataset(1))
        operator = self.operator(handed)
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute({})
        assert deferred.value.method_name == "execute_complete"
        assert waiting.settings.label_studio_token not in str(deferred.value.trigger.serialize())

    def test_nothing_asked_is_nothing_waited_for(self, waiting: Site, context: dict[str, Any]) -> None:
        dataset = waiting.dataset(1)
        handed = waiting.handed(dataset)
        nothing = waiting.governed.artifacts.put(b"")
        settled = waiting.outputs("adjudicate", handoff=handed["handoff"], disputed=nothing)
        assert self.operator(settled).execute(context)["handoff"] == settled["handoff"]


@pytest.fixture
def context() -> dict[str, Any]:
    class Instance:
        def xcom_push(self, **told: Any) -> None:
            """Keep nothing."""

    return {"ti": Instance()}


class TestTrigger:
    def test_fires_when_everybody_answered(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = waiting.handed(waiting.dataset(2))
        waiter = Waiter(handed)
        everybody(labelers[:1], handed["project"], lambda who, name: "sport")
        waiter.waits()
        everybody(labelers[1:], handed["project"], lambda who, name: "sport")
        event = waiter.ended()
        assert event["status"] == "complete"
        assert event["progress"]["annotators"] == {"lena@example.com": 2, "sami@example.com": 2}

    def test_one_person_twice_is_one_person(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = waiting.handed(waiting.dataset(1))
        waiter = Waiter(handed)
        (task,) = labelers[0].tasks(handed["project"]).values()
        labelers[0].answer(task, "sport")
        labelers[0].answer(task, "sport")
        labelers[1].skip(task)
        waiter.waits()
        labelers[1].answer(task, "sport")
        assert waiter.ended()["progress"]["skipped"] == 1

    def test_the_servers_own_flag_is_not_believed(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        """Three answers less one leave two of two, and ``is_labeled`` false."""
        handed = waiting.handed(waiting.dataset(1))
        (task,) = labelers[0].tasks(handed["project"]).values()
        answers = [person.answer(task, "sport") for person in (*labelers, labelers[0])]
        labelers[0].http.delete(f"/api/annotations/{answers[2]['id']}/").raise_for_status()
        assert Waiter(handed).ended()["status"] == "complete"

    def test_deleted_tasks_end_it_with_the_way_out(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = waiting.handed(waiting.dataset(2))
        waiter = Waiter(handed)
        waiter.waits(1)
        task = min(labelers[0].tasks(handed["project"]).values())
        labelers[0].http.delete(f"/api/tasks/{task}/").raise_for_status()
        event = waiter.ended()
        assert event["status"] == "deleted"
        assert "1 of 2 samples were deleted" in event["message"]
        assert "Clear hand_off" in event["message"]

    def test_a_deleted_project_ends_it(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = waiting.handed(waiting.dataset(1))
        waiter = Waiter(handed)
        waiter.waits(1)
        labelers[0].http.delete(f"/api/projects/{handed['project']}/").raise_for_status()
        assert "has it no more" in waiter.ended()["message"]

    def test_a_share_is_enough_when_asked_for(self, waiting: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = waiting.handed(waiting.dataset(2), overlap=1)
        task = min(labelers[0].tasks(handed["project"]).values())
        labelers[0].answer(task, "sport")
        assert Waiter(handed, share=0.5).ended()["status"] == "complete"


class TestWebhook:
    @pytest.fixture
    def api_server(self, waiting: Site, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
        """Run the console's application at the address that webhooks go to."""
        waiting.settings = msgspec.structs.replace(
            waiting.settings, airflow=f"http://127.0.0.1:{free_port}", label_studio_secret=SECRET
        )
        reload(monkeypatch, waiting.settings)
        from fastapi import FastAPI

        app = FastAPI()
        app.mount("/airlock", console)
        server = uvicorn.Server(uvicorn.Config(app, port=free_port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield waiting
        server.should_exit = True
        thread.join()

    def test_wakes_a_trigger_that_sleeps_for_an_hour(self, api_server: Site, labelers: tuple[Labeler, ...]) -> None:
        handed = api_server.handed(api_server.dataset(1), overlap=1)
        waiter = Waiter(handed, poll=3600)
        waiter.waits()
        (task,) = labelers[0].tasks(handed["project"]).values()
        labelers[0].answer(task, "sport")
        assert waiter.ended(20)["status"] == "complete"

    @pytest.mark.parametrize(
        ("headers", "body", "status"),
        [
            ({}, {"project": {"id": 1}}, 403),
            ({"X-Airlock-Secret": "wrong"}, {"project": {"id": 1}}, 403),
            ({"X-Airlock-Secret": SECRET}, {"project": "1"}, 422),
            ({"X-Airlock-Secret": SECRET}, {"project": {"id": 1}}, 202),
        ],
    )
    def test_takes_only_what_carries_the_secret(
        self, api_server: Site, headers: dict[str, str], body: dict[str, Any], status: int
    ) -> None:
        import httpx

        address = f"{api_server.settings.airflow}/airlock/labelling/hook"
        assert httpx.post(address, headers=headers, json=body).status_code == status


@pytest.fixture
def mortal(
    label_studio_data: Path,
    tmp_path: Path,
    store_settings: Settings,
    governed: Governed,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Site, LabelStudioServer]]:
    """Run a server of the test's own, which may be killed."""
    folder = tmp_path / "label-studio"
    shutil.copytree(label_studio_data, folder)
    with running(folder) as server:
        settings = msgspec.structs.replace(store_settings, label_studio=server.url, label_studio_token=server.token)
        reload(monkeypatch, settings)
        yield Site(settings, governed, server), server


def test_a_server_that_is_killed_and_comes_back(mortal: tuple[Site, LabelStudioServer]) -> None:
    site, server = mortal
    dataset = site.dataset(3)
    handed = site.handed(dataset, overlap=1)
    waiter = Waiter(handed)
    lena = server.labeler("lena@example.com")
    tasks = list(lena.tasks(handed["project"]).values())
    lena.answer(tasks[0], "sport")
    server.stop()
    result = site.run("pull_labels", handoff=handed["handoff"])
    assert result.failure is not None
    assert (result.failure.category, "does not answer" in result.failure.message) == ("infrastructure", True)
    again = site.run("hand_off", use_case="news", manifest=site.released(dataset, overlap=1))
    assert again.failure is not None
    assert again.failure.category == "infrastructure"
    waiter.waits(1)
    server.start()
    for task in tasks[1:]:
        lena.answer(task, "sport")
    assert waiter.ended()["status"] == "complete"
    assert site.outputs("pull_labels", handoff=handed["handoff"])["counts"]["labelled"] == 3
    assert site.outputs("hand_off", use_case="news", manifest=site.released(dataset, overlap=1))["created"] == 0
