"""``airlock gate`` says what the API server says, and sends what Airflow's own page sends."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from airlock import settings as settings_module
from airlock.errors import InfrastructureError, NotApproved, UserError

ID = "ab" * 32
OTHER = "ac" * 32


def asked(**changes: Any) -> dict[str, Any]:
    """Return a request as the API server describes it."""
    return {
        "id": ID,
        "use_case": "digits",
        "gate": "model",
        "dag": "digits_model",
        "run": "scheduled__2026-01-01T00:00:00+00:00",
        "task": "model_gate",
        "map_index": -1,
        "manifest": "sha256:" + "c" * 64,
        "created": 1.7e9,
        "deadline": None,
        "state": "open",
        "stage": 0,
        "stages": 2,
        "awaited": ["data_scientist"],
        "missing": 1,
        "mine": True,
        "why_not": "",
        "approvals": [],
        "overdue": False,
        "options": ["Approve", "Train again"],
        "checklist": {"card": "The card is complete"},
        "form": {"risk": {"title": "How bad?", "options": ["low", "high"], "required": True}},
        "evidence": "### candidate\n\nlooks *fine*",
        "decisions": [],
        "closing": None,
    } | changes


class Desk(BaseHTTPRequestHandler):
    """Answers like the API server, and keeps what it was sent."""

    calls: ClassVar[list[tuple[str, str, Any]]] = []
    refusal: ClassVar[tuple[int, str] | None] = None

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.calls.append((self.command, self.path, body))
        path = self.path.partition("?")[0]
        if path == "/auth/token":
            known = body == {"username": "sami", "password": "secret"}
            return self.say(
                201 if known else 401, {"access_token": "t"} if known else {"detail": "Invalid credentials"}
            )
        if self.headers["Authorization"] != "Bearer t":
            return self.say(401, {"detail": "Invalid JWT token"})
        if self.command != "GET" and self.refusal:
            return self.say(self.refusal[0], {"detail": self.refusal[1]})
        return self.say(200, [asked(), asked(id=OTHER)] if path == "/airlock/gates/requests" else asked())

    do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the server looks for these names

    def say(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def desk(home: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Desk]]:
    """Run the server, and be signed in to it."""
    with HTTPServer(("127.0.0.1", 0), Desk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AIRLOCK_AIRFLOW", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AIRLOCK_TOKEN", "t")
        settings_module.settings.cache_clear()
        Desk.calls, Desk.refusal = [], None
        yield Desk
        server.shutdown()


class TestSeeing:
    def test_the_list(self, desk: Any, airlock: Any) -> None:
        lines = airlock("gate", "list").output.splitlines()
        assert len(lines) == 3
        assert lines[1].startswith("abababababab")
        assert "data_scientist (stage 1 of 2)" in lines[1]
        airlock("gate", "list", "--all", "--mine")
        assert desk.calls[-1][1] == "/airlock/gates/requests?state=all&mine=true"

    def test_one(self, desk: Any, airlock: Any) -> None:
        said = airlock("gate", "show", "ab").output
        assert "looks fine" in said
        assert "--confirm card: The card is complete" in said

    @pytest.mark.parametrize(("prefix", "said"), [("a", "2 gate requests begin"), ("ff", "No gate request begins")])
    def test_an_id_that_names_none_or_many(self, desk: Any, airlock: Any, prefix: str, said: str) -> None:
        assert said in str(airlock("gate", "show", prefix).exception)


class TestAnswering:
    PATH = (
        "/api/v2/dags/digits_model/dagRuns/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00"
        "/taskInstances/model_gate/-1/hitlDetails"
    )

    def sent(self, desk: Any) -> list[tuple[str, str, Any]]:
        return [call for call in desk.calls if call[0] != "GET"]

    def test_approve(self, desk: Any, airlock: Any) -> None:
        said = airlock("gate", "approve", "ab", "--comment", "Good.", "--confirm", "card").output
        assert said.startswith("Approve: manifest cccccccccccc at the model gate of digits")
        body = {"chosen_options": ["Approve"], "params_input": {"card": True, "comment": "Good."}}
        assert self.sent(desk) == [("PATCH", self.PATH, body)]

    def test_approve_confirming_all(self, desk: Any, airlock: Any) -> None:
        airlock("gate", "approve", "ab", "--confirm-all")
        assert self.sent(desk)[0][2]["params_input"] == {"card": True}

    def test_approve_answering_the_form(self, desk: Any, airlock: Any) -> None:
        assert "--answer risk=…: How bad? (low | high)" in airlock("gate", "show", "ab").output
        airlock("gate", "approve", "ab", "--confirm-all", "--answer", "risk=low")
        assert self.sent(desk)[0][2]["params_input"] == {"card": True, "risk": "low"}
        error = airlock("gate", "approve", "ab", "--answer", "danger=low").exception
        assert "'danger' is not in the form. In it: risk." in str(error)

    def test_an_item_that_is_not_on_the_list(self, desk: Any, airlock: Any) -> None:
        error = airlock("gate", "approve", "ab", "--confirm", "cord").exception
        assert isinstance(error, UserError)
        assert "'cord' is not on the checklist. On it: card." in str(error)
        assert self.sent(desk) == []

    def test_reject(self, desk: Any, airlock: Any) -> None:
        airlock("gate", "reject", "ab", "--to", "Train again", "-c", "Overfits.")
        body = {"chosen_options": ["Train again"], "params_input": {"comment": "Overfits."}}
        assert self.sent(desk) == [("PATCH", self.PATH, body)]

    def test_reject_to_nowhere(self, desk: Any, airlock: Any) -> None:
        assert "Choose one of: Train again." in str(airlock("gate", "reject", "ab", "--to", "Approve").exception)
        assert self.sent(desk) == []

    def test_withdraw(self, desk: Any, airlock: Any) -> None:
        assert airlock("gate", "withdraw", "ab", "--reason", "Wrong data.").output.startswith("withdrawn: manifest")
        path = f"/airlock/gates/requests/{ID}/withdraw"
        assert self.sent(desk) == [("POST", path, {"reason": "Wrong data."})]

    def test_a_refusal_is_the_guards_text(self, desk: Any, airlock: Any) -> None:
        desk.refusal = (403, "sami may not answer the model gate of digits.")
        ended = airlock("gate", "approve", "ab")
        assert (ended.exit_code, str(ended.exception)) == (1, "sami may not answer the model gate of digits.")


class TestSigningIn:
    def test_with_name_and_password(self, desk: Any, airlock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_PASSWORD", "secret")
        assert airlock("gate", "list", "--user", "sami").exit_code == 0
        assert isinstance(airlock("gate", "list", "--user", "eve").exception, NotApproved)

    def test_what_is_missing_is_asked_for(self, desk: Any, airlock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRLOCK_TOKEN")
        assert airlock("gate", "list", input="sami\nsecret\n").exit_code == 0

    def test_a_token_that_expired(self, desk: Any, airlock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_TOKEN", "old")
        error = airlock("gate", "list").exception
        assert isinstance(error, NotApproved)
        assert "Invalid JWT token" in str(error)

    def test_nobody_answers(self, home: Any, airlock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRLOCK_AIRFLOW", "http://127.0.0.1:9")
        monkeypatch.setenv("AIRLOCK_TOKEN", "t")
        settings_module.settings.cache_clear()
        assert isinstance(airlock("gate", "list").exception, InfrastructureError)
