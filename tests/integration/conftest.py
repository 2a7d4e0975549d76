"""One real stack for all integration tests: PostgreSQL, MLflow, Airflow with FAB, the reconciler."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from airlock.demo.airflow_api import AirflowApi
from airlock.launcher.credentials import DemoUser
from airlock.launcher.layout import Layout
from airlock.launcher.stack import down, up
from airlock.settings import Settings, load_settings

PORTS = 6
DAGS = Path(__file__).parent / "dags"
"""Small DAGs that only tests use, beside the packaged ones."""


def free_ports() -> int:
    """The first of six neighbouring ports nobody listens on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])  # two that look at once must not find the same
    for base in range(18400 + 200 * worker, 18600 + 200 * worker, 10):
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no six neighbouring ports are free")


class Stack:
    """A stack that is up, and its people."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings: Settings = load_settings({"AIRLOCK_HOME": str(home)})
        users = msgspec.json.decode(Layout(home).demo_users.read_bytes(), type=list[DemoUser])
        self.users = {user.role: user for user in users}
        self.sessions: dict[str, AirflowApi] = {}

    def person(self, role: str) -> AirflowApi:
        """The demo user of a role, signed in."""
        if role not in self.sessions:
            user = self.users[role]
            self.sessions[role] = AirflowApi(self.settings.airflow, user.username, user.password)
        return self.sessions[role]

    def wait_for_dags(self, *dags: str) -> None:
        """Wait until Airflow has read these DAGs."""
        for dag in dags:
            self.person("Admin").wait_for(dag)

    @property
    def roles(self) -> list[str]:
        return sorted(self.users)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Start the stack once; stop it at the end, whatever happened."""
    console = Console(force_terminal=False)
    # Not pytest's own folder: PostgreSQL runs as another user there when root runs the tests.
    with tempfile.TemporaryDirectory(prefix="airlock-stack-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        up(home, port_base=free_ports(), console=console, dags=DAGS)
        try:
            started = Stack(home)
            started.wait_for_dags("digits_data", "digits_model", "digits_deployment")
            yield started
        finally:
            down(home, console=console)
