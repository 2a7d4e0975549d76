"""What runs in the embedded stack, beside PostgreSQL: one declaration a service."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from airlock.launcher.environment import child_environment
from airlock.launcher.layout import Layout, Ports
from airlock.launcher.readiness import airflow_beats, answers
from airlock.settings import Settings
from airlock.steps.process import host_answers

POSTGRES = "postgres"
TRIGGERER = "triggerer"
LABEL_STUDIO = "label-studio"
GUARDED_PAGE = "/airlock/static/gates.css"
AIRFLOW = "airflow"
COMPONENTS = ("api-server", "scheduler", "dag-processor", TRIGGERER)
NAMES = (*COMPONENTS, "mlflow", "reconciler", "step-host", LABEL_STUDIO)
OPTIONAL = (TRIGGERER, LABEL_STUDIO)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one service and to see that it is ready.

    :param command: for Airflow's components, which are forked, the arguments of ``airflow``.
    :param ready: given its start time in epoch seconds, says whether it does its work.
    :param job: ends by itself, and has done its work when it ends well.
    :param grace: seconds it may take to stop before it is killed.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    cwd: Path
    ready: Callable[[float], bool]
    job: bool = False
    grace: float = 5.0


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What the declarations are made from.

    :param tracking_database: PostgreSQL URL of MLflow's database.
    :param upgrade_tracking: whether MLflow's tables must be made or upgraded.
    :param guard: what lets a process sign; only the API server is given these variables.
    :param triggerer: whether deferrable operators are used.
    """

    layout: Layout
    ports: Ports
    settings: Settings
    tracking_database: str
    upgrade_tracking: bool
    guard: dict[str, str]
    triggerer: bool = False


def declare(needs: Needs) -> list[Service]:
    """Return the services in the order in which they start."""
    return [*airflow(needs), mlflow(needs), reconciler(needs), step_host(needs)]


def mlflow(needs: Needs) -> Service:
    """The tracking server: artifacts go through it to a folder; no job runner."""
    layout, port = needs.layout, needs.ports.mlflow
    own = {
        "MLFLOW_BACKEND_STORE_URI": needs.tracking_database,  # not an argument: those are visible to every user
        "MLFLOW_ARTIFACTS_DESTINATION": (layout.mlflow / "artifacts").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return Service(
        name="mlflow",
        command=_python("airlock.launcher.tracking", str(port), *(["upgrade"] if needs.upgrade_tracking else [])),
        environment=child_environment(needs.settings) | own,
        cwd=layout.mlflow,
        ready=answers(port, "/health"),
    )


def airflow(needs: Needs) -> list[Service]:
    """Airflow's components; the API server first, because the others report their health through it."""
    port = needs.ports.airflow
    # Airflow goes on without a plugin that it cannot load: an API server without our pages has no guard either.
    answering, guarded = answers(port, "/api/v2/monitor/health"), answers(port, GUARDED_PAGE)
    server = msgspec.structs.replace(
        _component(needs, "api-server", **needs.guard),
        ready=lambda started: answering(started) and guarded(started),
    )
    # Their log servers would listen on every interface, and task logs are on this disk anyway.
    scheduler = _component(needs, "scheduler", "--skip-serve-logs")
    triggerer = [_component(needs, TRIGGERER, "--skip-serve-logs")] if needs.triggerer else []
    return [server, scheduler, _component(needs, "dag-processor"), *triggerer]


def airflow_parent(needs: Needs) -> Service:
    """A job: the process that Airflow's components are forked from."""
    return _job(needs, AIRFLOW, "airlock.plugins.components")


def bootstrap(needs: Needs) -> Service:
    """A job: Airflow's database, roles and demo users in one process."""
    job = _job(needs, "bootstrap", "airlock.plugins.bootstrap", str(needs.layout.demo_users))
    return msgspec.structs.replace(job, environment=job.environment | {"AIRFLOW__FAB__UPDATE_FAB_PERMS": "True"})


def step_host(needs: Needs) -> Service:
    """Forks the steps of local tasks."""
    return Service(
        name="step-host",
        command=_python("airlock.steps.host"),
        environment=child_environment(needs.settings),
        cwd=needs.layout.run,
        ready=lambda _started: host_answers(needs.settings.home),
    )


def reconciler(needs: Needs) -> Service:
    """Brings the local target to the deployments that the database wants."""
    return Service(
        name="reconciler",
        command=_python("airlock.deployment.reconciler"),
        environment=child_environment(needs.settings),
        cwd=needs.layout.serving,
        ready=answers(needs.ports.serving, "/"),
    )


def _component(needs: Needs, name: str, *arguments: str, **own: str) -> Service:
    return Service(
        name=name,
        command=[name, *arguments],
        environment=_airflow_environment(needs) | own,
        cwd=needs.layout.airflow,
        ready=airflow_beats(needs.ports.airflow, name.replace("-", "_")),
    )


def _job(needs: Needs, name: str, module: str, *arguments: str) -> Service:
    return Service(
        name=name,
        command=_python(module, *arguments),
        environment=_airflow_environment(needs),
        cwd=needs.layout.airflow,
        ready=lambda _started: False,
        job=True,
    )


def _airflow_environment(needs: Needs) -> dict[str, str]:
    return child_environment(needs.settings) | {"AIRFLOW_HOME": str(needs.layout.airflow)}


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "airlock.launcher.component", module, *arguments]
