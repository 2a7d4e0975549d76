"""The clock: what happens to gates because time passes, and that trouble with one is none of the others' business."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airlock import settings as settings_module
from airlock.digests import short
from airlock.errors import InfrastructureError
from airlock.governance.people import read_people
from airlock.governance.policy import Escalation, GatePolicy, Stage
from airlock.plugins import clock as clock_module
from airlock.plugins import parking
from airlock.plugins.answers import GateAnswers
from airlock.plugins.clock import LOCK, Clock
from airlock.plugins.endings import place_of
from airlock.plugins.parking import Absences, Parked
from airlock.plugins.questions import Place
from airlock.stores.gates import GateRequest
from tests.governed import Governed

OLD = 1000.0


def policy(**fields: Any) -> GatePolicy:
    return GatePolicy(stages=[Stage(roles=["data_engineer"])], **fields)


class Airflow:
    """Stands in for Airflow's tasks: which are parked, which are gone."""

    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.resumed: list[Place] = []
        self.gone: dict[Place, str] = {}
        self.people: dict[str, list[str]] = {"dora": ["data_engineer"]}

    def park(self, request: GateRequest, seconds: float = 60) -> None:
        self.parked.append(Parked(request=request.id, place=place_of(request), since=time.time() - seconds))

    def resume(self, place: Place) -> bool:
        self.resumed.append(place)
        return True


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    fake = Airflow()
    monkeypatch.setattr(clock_module, "parked", lambda: fake.parked)
    monkeypatch.setattr(clock_module, "resume", fake.resume)
    monkeypatch.setattr(clock_module, "known_roles", lambda: fake.people)
    monkeypatch.setattr(Absences, "gone", lambda _self, places: {p: fake.gone[p] for p in places if p in fake.gone})
    return fake


@pytest.fixture
def clock(governed: Governed, airflow: Airflow) -> Clock:
    return Clock(GateAnswers())


def ends(governed: Governed) -> dict[str, tuple[str, str]]:
    """Run to (verdict, reason) of every closed request."""
    book = governed.book()
    return {book.request(name).run: (closing.verdict, closing.reason) for name, (closing, _) in book.closings.items()}


def old(seconds: float) -> float:
    """A time that a request of now may name: its record's own time allows for a minute."""
    return time.time() - seconds


class TestExpiry:
    def test_ends_a_request_past_its_window_and_no_other(self, clock: Clock, governed: Governed) -> None:
        governed.file(policy(window=30), run="late", created=old(40))
        governed.file(policy(window=30), run="early", created=old(10))
        governed.file(policy(window=30, supersede=False), run="other", gate="model", created=old(10))
        clock.tick()
        assert {run: verdict for run, (verdict, _) in ends(governed).items()} == {"late": "expired"}
        assert ends(governed)["late"][1] == "Nobody decided within 30 s."

    def test_is_signed_and_never_an_approval(self, clock: Clock, governed: Governed) -> None:
        request = governed.file(policy(window=5), created=old(10))
        clock.tick()
        with pytest.raises(PermissionError, match="no decision"):
            governed.book().approval("digits", "data", request.manifest)

    def test_does_not_end_a_request_over_an_answer_that_a_crash_left_unsettled(
        self, clock: Clock, governed: Governed
    ) -> None:
        """Airflow may have taken it: then it was given in time."""
        request = governed.file(policy(window=5), created=old(10))
        number = clock.answers.requests.prepare(request.id, {"decision": {}})
        clock.tick()
        assert ends(governed) == {}
        clock.answers.void(number)
        clock.tick()
        assert ends(governed)["run"][0] == "expired"

    def test_happens_once_however_often_it_ticks(self, clock: Clock, governed: Governed) -> None:
        governed.file(policy(window=5), created=old(10))
        for _ in range(3):
            clock.tick()
        assert len(governed.recorded("closed")) == 1


class TestSupersession:
    def test_a_newer_manifest_closes_the_older_request(self, clock: Clock, governed: Governed) -> None:
        governed.file(policy(), run="one")
        newer = governed.file(policy(), run="two")
        clock.tick()
        assert set(ends(governed)) == {"one"}
        verdict, reason = ends(governed)["one"]
        assert (verdict, short(newer.manifest) in reason, "two" in reason) == ("superseded", True, True)

    @pytest.mark.parametrize(
        "second",
        [{"gate": "model"}, {"use_case": "fashion"}, {"run": "one", "map_index": 1}],
        ids=["another gate", "another use case", "a mapped task beside it"],
    )
    def test_but_not(self, clock: Clock, governed: Governed, second: dict[str, Any]) -> None:
        governed.file(policy(), run="one", map_index=0)
        governed.file(policy(), **({"run": "two"} | second))
        clock.tick()
        assert ends(governed) == {}

    def test_the_same_manifest_is_not_newer(self, clock: Clock, governed: Governed) -> None:
        manifest = governed.manifest()
        for run in ("one", "two"):
            governed.file(policy(), manifest, run=run)
        clock.tick()
        assert ends(governed) == {}

    def test_a_policy_may_say_no(self, clock: Clock, governed: Governed) -> None:
        for run in ("one", "two"):
            governed.file(policy(supersede=False), run=run)
        clock.tick()
        assert ends(governed) == {}

    def test_a_cleared_task_closes_what_it_asked_before(self, clock: Clock, governed: Governed) -> None:
        manifest = governed.manifest()
        first = governed.file(policy(supersede=False), manifest)
        second = governed.file(policy(supersede=False), manifest, attempt=4)
        clock.tick()
        book = governed.book()
        assert [request.id for request in book.pending()] == [second.id]
        assert "asks anew" in book.closings[first.id][0].reason

    def test_something_newer_that_waits_in_the_queue(self, clock: Clock, governed: Governed) -> None:
        """A DAG with one run at a time would never come to it."""
        governed.file(policy(), run="one")
        for name in ("older", "newer"):
            governed.queue.put("digits/model", f"sha256:{name}", "d")
        governed.queue.claim("digits/model", "digits_data", "one")
        clock.tick()
        verdict, reason = ends(governed)["one"]
        assert (verdict, "newer and waits in the promotion queue digits/model" in reason) == ("superseded", True)


class TestParked:
    @pytest.fixture
    def closed(self, governed: Governed) -> GateRequest:
        request = governed.file(policy())
        governed.close(request, "withdrawn")
        return request

    def test_a_gate_whose_request_is_closed_goes_on(self, clock: Clock, airflow: Airflow, closed: GateRequest) -> None:
        airflow.park(closed)
        clock.tick()
        assert airflow.resumed == [place_of(closed)]

    def test_not_while_airflow_still_records_the_parking(
        self, clock: Clock, airflow: Airflow, closed: GateRequest
    ) -> None:
        airflow.park(closed, seconds=1)
        clock.tick()
        assert airflow.resumed == []

    def test_also_when_it_parks_after_a_while_in_which_nothing_happens(
        self, clock: Clock, airflow: Airflow, closed: GateRequest
    ) -> None:
        clock.tick()
        airflow.park(closed)
        clock.tick()
        assert airflow.resumed == [place_of(closed)]

    def test_open_requests_and_questions_that_are_no_gates_stay(
        self, clock: Clock, airflow: Airflow, governed: Governed
    ) -> None:
        airflow.park(governed.file(policy()))
        airflow.parked.append(Parked(request="f" * 64, place=("d", "r", "t", -1), since=0))
        clock.tick()
        assert airflow.resumed == []

    def test_trouble_with_one_is_none_of_the_others(
        self, clock: Clock, airflow: Airflow, closed: GateRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stumbling(place: Place) -> bool:
            if len(tried) == 0:
                tried.append(place)
                raise InfrastructureError("away")
            return airflow.resume(place)

        tried: list[Place] = []
        monkeypatch.setattr(clock_module, "resume", stumbling)
        airflow.park(closed)
        airflow.park(closed)
        clock.tick()
        assert airflow.resumed == [place_of(closed)]


class TestGone:
    def test_a_request_whose_task_is_gone_is_closed(self, clock: Clock, airflow: Airflow, governed: Governed) -> None:
        request = governed.file(policy())
        airflow.gone[place_of(request)] = "Its task is gone."
        clock.tick()
        assert ends(governed) == {"run": ("withdrawn", "Its task is gone.")}

    def test_only_after_a_grace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        states: dict[Place, str | None] = {}
        place, other = ("d", "r", "t", -1), ("d", "r", "u", -1)
        monkeypatch.setattr(parking, "_states", lambda _places: states)
        monkeypatch.setattr(parking.time, "monotonic", lambda: clock_now[0])
        clock_now, absences = [0.0], Absences()
        states[other] = None
        assert absences.gone([place, other]) == {}
        clock_now[0] = 29
        assert absences.gone([place, other]) == {}
        clock_now[0] = 31
        assert list(absences.gone([place, other])) == [place]
        states[place] = "awaiting_input"
        assert absences.gone([place, other]) == {}
        states[place] = "success"
        assert absences.gone([place, other]) == {}, "the grace begins anew"


class Webhook(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers with the server's status."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(json.loads(body))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def webhook(governed: Governed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Webhook)
    server.heard, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AIRLOCK_NOTIFY", f"http://127.0.0.1:{server.server_port}/hook")
    settings_module.settings.cache_clear()
    yield server
    server.shutdown()
    server.server_close()


class TestReminding:
    def test_who_is_awaited_hears_of_it_once(self, clock: Clock, governed: Governed, webhook: Any) -> None:
        request = governed.file(policy(reminder=20), created=old(30))
        governed.file(policy(reminder=20), run="another", gate="model", created=old(10))
        for _ in range(3):
            clock.tick()
        (heard,) = webhook.heard
        assert (heard["kind"], heard["request"], heard["awaited"]) == ("reminder", request.id, ["data_engineer"])
        assert (heard["use_case"], heard["gate"], heard["manifest"]) == ("digits", "data", request.manifest)
        assert heard["url"].endswith("/dags/digits_data/runs/run/tasks/data_gate/required_actions")

    def test_and_who_may_decide_too_when_it_escalates(self, clock: Clock, governed: Governed, webhook: Any) -> None:
        escalation = Escalation(after=20, roles=["model_validator"])
        governed.file(policy(escalation=escalation), created=old(30))
        for _ in range(2):
            clock.tick()
        assert [(heard["kind"], heard["awaited"]) for heard in webhook.heard] == [
            ("escalation", ["data_engineer", "model_validator"])
        ]

    def test_a_failed_delivery_is_tried_again(
        self, clock: Clock, governed: Governed, webhook: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        governed.file(policy(reminder=5), created=old(30))
        webhook.status = 500
        clock.tick()
        assert "The webhook did not take the reminder" in caplog.text
        webhook.status = 204
        for _ in range(2):
            clock.tick()
        assert len(webhook.heard) == 2

    def test_a_webhook_that_is_away_keeps_nothing_from_happening(
        self, clock: Clock, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRLOCK_NOTIFY", "http://127.0.0.1:9/away")
        settings_module.settings.cache_clear()
        governed.file(policy(reminder=5), created=old(30))
        governed.file(policy(window=5), run="late", gate="model", created=old(30))
        clock.tick()
        assert ends(governed)["late"][0] == "expired"

    def test_without_a_webhook_it_is_a_line_in_the_log(
        self, clock: Clock, governed: Governed, caplog: pytest.LogCaptureFixture
    ) -> None:
        governed.file(policy(reminder=5), created=old(30))
        with caplog.at_level(logging.INFO):
            clock.tick()
        assert "Reminder: the data gate of digits waits for data_engineer" in caplog.text


class TestPeople:
    def test_who_lives_is_written_down_for_whoever_parses_dags(
        self, clock: Clock, governed: Governed, home: Path
    ) -> None:
        clock.tick()
        assert read_people(str(home / "people.json")) == {"dora": ["data_engineer"]}


class TestTicking:
    def test_a_quiet_tick_is_one_query(self, clock: Clock, governed: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock_module, "LINGERING", -1.0)
        clock.tick()
        monkeypatch.setattr(clock_module, "parked", lambda: pytest.fail("asked Airflow although nothing is open"))
        monkeypatch.setattr(clock.answers, "book", lambda: pytest.fail("read the ledger although nothing is new"))
        clock.tick()
        governed.file(policy())
        with pytest.raises(pytest.fail.Exception):
            clock.tick()

    def test_of_several_api_servers_one_acts(self, clock: Clock, governed: Governed) -> None:
        governed.file(policy(window=5), created=old(10))
        with governed.guard.transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            clock.tick()
            assert ends(governed) == {}
        clock.tick()
        assert len(ends(governed)) == 1

    def test_a_database_that_is_away_is_said_once_and_tried_again(
        self, clock: Clock, governed: Governed, caplog: pytest.LogCaptureFixture
    ) -> None:
        governed.file(policy(window=5), created=old(10))
        database = clock.answers.authority.database
        dsn, database.dsn = database.dsn, "postgresql://nobody@127.0.0.1:9/none"
        for _ in range(3):
            clock.tick()
        assert caplog.text.count("tries again") == 1
        database.dsn = dsn
        clock.tick()
        assert len(ends(governed)) == 1

    def test_answers_written_ahead_are_settled_when_nobody_is_at_them(
        self, clock: Clock, governed: Governed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settled: list[GateAnswers] = []
        monkeypatch.setattr(clock_module, "settle", settled.append)
        request = governed.file(policy())
        clock.answers.requests.prepare(request.id, {"decision": {}})
        clock.tick()
        assert settled == [], "whoever wrote it is still at it"
        monkeypatch.setattr(clock_module, "IN_FLIGHT", -1.0)
        clock.tick()
        assert settled == [clock.answers]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_it_ticks_until_it_is_stopped_and_survives_the_unexpected(
        self, governed: Governed, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock(GateAnswers(), every=0.01)
        ticks: list[float] = []

        def tick() -> None:
            ticks.append(time.monotonic())
            if len(ticks) == 2:
                raise KeyError("unexpected")  # ends the thread

        monkeypatch.setattr(clock, "tick", tick)
        clock.keep_going()
        assert ticks == [], "it was not started"
        clock.start()
        deadline = time.monotonic() + 10
        while len(ticks) < 5 and time.monotonic() < deadline:
            clock.keep_going()
            time.sleep(0.01)
        clock.stop()
        done = len(ticks)
        clock.keep_going()
        time.sleep(0.05)
        assert done >= 5
        assert len(ticks) == done


def test_the_policy_decides_what_a_notice_says() -> None:
    """The fields of the webhook's body are a promise to whoever receives it."""
    from airlock.plugins.notices import Notice

    fields = [field.name for field in msgspec.structs.fields(Notice)]
    assert fields == ["kind", "request", "use_case", "gate", "manifest", "awaited", "url"]
