"""The Gates pages: requests, mine first, and one request with all that a decision rests on and the answer form."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from airlock.digests import short
from airlock.errors import AirlockError
from airlock.governance.evidence.sentences import labelled
from airlock.plugins.console.comparison import compared
from airlock.plugins.console.drawing import scale
from airlock.plugins.console.requests import DeskDep, RequestId, require_withdrawer
from airlock.plugins.console.runs import run_facts
from airlock.stores.gates import GateRequest

router = APIRouter(prefix="/gates", default_response_class=HTMLResponse)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
SHOWN = 200  # closed requests on one page
UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


@router.get("")
def requests(http: Request, desk: DeskDep, state: Literal["open", "all"] = "open") -> HTMLResponse:
    """List the requests: what waits for the person who looks comes first."""
    asked = desk.requests(closed=state == "all")
    waiting = [each for each in asked if each.state == "open"]
    closed = sorted((each for each in asked if each.state != "open"), key=lambda each: -each.created)
    return page(http, "gates.html", desk=desk, waiting=waiting, closed=closed[:SHOWN], more=closed[SHOWN:], state=state)


@router.get("/at")
def at(http: Request, desk: DeskDep, dag: str, run: str, task: str, map_index: str = "-1") -> HTMLResponse:
    """Show what a task instance asks; most tasks ask nothing."""
    # Airflow leaves its placeholder as it is for a task that is not mapped.
    index = int(map_index) if map_index.isdecimal() else -1
    found = desk.at((dag, run, task, index))
    if found is None:
        return page(http, "nothing.html", desk=desk, task=task)
    return _gate(http, desk, found)


@router.get("/{request_id}")
def gate(http: Request, desk: DeskDep, request_id: RequestId) -> HTMLResponse:
    """Show one request in one screen, with the form to answer it."""
    return _gate(http, desk, desk.find(request_id))


def _gate(http: Request, desk: DeskDep, asked: GateRequest) -> HTMLResponse:
    return page(
        http,
        "gate.html",
        desk=desk,
        gate=desk.asked(asked),
        detail=desk.detail(asked),
        policy=desk.policy(asked),
        run=run_facts(asked.dag, asked.run),
        compared=compared(asked),
        answer=answer_url(asked),
        withdraws=_withdraws(desk, asked),
    )


def _withdraws(desk: DeskDep, asked: GateRequest) -> bool:
    if desk.state(asked) != "open":
        return False
    try:
        require_withdrawer(desk, asked)
    except AirlockError:
        return False
    return True


def answer_url(asked: GateRequest) -> str:
    """Return Airflow's own path for an answer."""
    dag, run, task = (quote(each, safe="") for each in (asked.dag, asked.run, asked.task))
    return f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/{asked.map_index}/hitlDetails"


def page(http: Request, name: str, **values: Any) -> HTMLResponse:
    """Render a page."""
    root = http.scope.get("app_root_path", "").rstrip("/")
    here = http.scope.get("root_path", "").rstrip("/")
    text = TEMPLATES.get_template(name).render(root=root, here=here, now=time.time(), **values)
    return HTMLResponse(text, headers=HEADERS)


def lasted(seconds: float, units: int = 2) -> str:
    """A duration in its two largest units: ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, parts = int(seconds), []
    for unit, size in UNITS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''}")
    return " ".join(parts[:units])


def about(seconds: float) -> str:
    """A time that passes while one reads it: ``2 h``."""
    return lasted(max(seconds, 0.0), 1) if seconds >= 60 else "less than a minute"


def at_time(seconds: float) -> str:
    """A point in time, for people."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def figure(value: object) -> str:
    """A number with as many digits as matter, anything else as it is."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or (value.is_integer() and abs(value) > 9) else f"{value:.4g}"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals["scale"] = scale
TEMPLATES.filters |= {"short": short, "lasted": lasted, "about": about, "at_time": at_time, "figure": figure}
TEMPLATES.filters["said"] = labelled
