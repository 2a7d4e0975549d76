"""Real stores for every test: an embedded PostgreSQL per session, a fresh database and folders per test."""

import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from airlock.launcher.postgres import EmbeddedPostgres
from airlock.settings import Settings
from airlock.steps.contract import Result, RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.database import Database, open_database
from airlock.stores.migrations import upgrade

OWNER, APPLICATION, GUARD, PASSWORD = "airlock_owner", "airlock_app", "airlock_guard", "test"
NUMBERS = itertools.count(1)

# Importing Airflow makes a folder: not in the home of whoever runs the tests.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airlock-test-airflow-"))


SHARED = ("integration", "kubernetes", "labeling")
"""Folders whose tests share a stack, a cluster, a Label Studio: each takes a minute or two to start."""


class ByService(LoadScopeScheduling):
    """Keeps in one worker what shares a service, and otherwise file by file."""

    def _split_scope(self, nodeid: str) -> str:
        room, _, name = nodeid.partition("::")[0].removeprefix("tests/").partition("/")
        own = room not in SHARED or "labelled" in name  # that one has stacks of its own
        return f"{room}/{name}" if own else room


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Tell xdist: its own groups by mark do not work with pytest 9.2."""
    return ByService(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: ORDER.get(item.path.parent.name, len(ORDER)))


ORDER = {"integration": 0, "kubernetes": 1, "model": 2, "labeling": 3}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on."""
    return _free_port()


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Give the folder with real data for tests: ``AIRLOCK_TEST_DATA``, or ``shared/data`` beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AIRLOCK_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: name the folder with AIRLOCK_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL server with the two roles and a migrated database ``template``."""
    with tempfile.TemporaryDirectory(prefix="airlock-postgres-") as folder:
        server = EmbeddedPostgres(Path(folder), _free_port(), options={"fsync": "off", "max_connections": "60"})
        server.start()
        try:
            server.create_role(OWNER, PASSWORD)
            server.create_role(APPLICATION, PASSWORD)
            server.create_role(GUARD, PASSWORD)
            server.create_database("template", OWNER)
            upgrade(server.dsn(OWNER, PASSWORD, "template"), APPLICATION, GUARD)
            yield server
        finally:
            server.stop()


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """Give a fresh migrated database, as the application role."""
    name = f"test_{next(NUMBERS)}"
    postgres.create_database(name, OWNER, members=(APPLICATION, GUARD), template="template")
    yield open_database(postgres.dsn(APPLICATION, PASSWORD, name))
    with postgres.connect() as link, link.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def guard_database(postgres: EmbeddedPostgres, database: Database) -> Database:
    """Give the same database as the guard's role, which may append signed records."""
    return open_database(postgres.dsn(GUARD, PASSWORD, database.address.rpartition("/")[2]))


@pytest.fixture
def owner_dsn(postgres: EmbeddedPostgres, database: Database) -> str:
    """Give the DSN of the role that owns the same database's schema."""
    return postgres.dsn(OWNER, PASSWORD, database.address.rpartition("/")[2])


@pytest.fixture
def superuser(postgres: EmbeddedPostgres, database: Database) -> Database:
    """Give the same database as a superuser, who may tamper."""
    return open_database(postgres.admin_dsn(database.address.rpartition("/")[2]))


@pytest.fixture
def store_settings(database: Database, tmp_path: Path) -> Settings:
    """Give settings whose stores are the test's own; tracking, Airflow and serving point at a closed port."""
    public = tmp_path / "keys" / "public"
    public.mkdir(parents=True)
    closed = "http://127.0.0.1:9"
    return Settings(
        home=str(tmp_path),
        artifacts=(tmp_path / "artifacts").as_uri(),
        datasets=(tmp_path / "datasets").as_uri(),
        database=database.dsn,
        tracking=closed,
        airflow=closed,
        serving=closed,
        public_keys=str(public),
    )


@pytest.fixture
def run_step(store_settings: Settings) -> Callable[..., Result]:
    """Give ``run_step(name, **inputs)``: runs a step here as its subprocess would; returns the result."""

    def run(step: str, **inputs: Any) -> Result:
        attempt = next(NUMBERS)
        info = RunInfo(dag="test", run="run", task=step, attempt=attempt)
        return run_spec(Spec(step=step, inputs=inputs, run=info, result=f"results/{attempt}.json"), store_settings)

    return run
