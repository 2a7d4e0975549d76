"""How the launcher sees that a service does its work, not merely that its process lives."""

import json
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any

from airlock.launcher.ports import HOST

Ready = Callable[[float], bool]
TIMEOUT = 5.0


def answers(port: int, path: str) -> Ready:
    """Ready when a GET of the path gives 200."""
    return lambda _started: _get(port, path) is not None


def airflow_beats(port: int, component: str) -> Ready:
    """Ready when an Airflow component's heartbeat, as the API server reports it, is younger than its start."""

    def ready(started: float) -> bool:
        body = _get(port, "/api/v2/monitor/health")
        state = json.loads(body).get(component) if body else None
        return state is not None and _is_after(state, component, started)

    return ready


def _is_after(state: dict[str, Any], component: str, started: float) -> bool:
    beat = state.get(f"latest_{component}_heartbeat")
    return state.get("status") == "healthy" and beat is not None and datetime.fromisoformat(beat).timestamp() >= started


def _get(port: int, path: str) -> bytes | None:
    connection = HTTPConnection(HOST, port, timeout=TIMEOUT)  # not urllib: it would ask a proxy
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == 200 else None
