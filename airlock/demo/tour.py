"""The demo from start to stop: what it says, in which order, and the figures it ends with."""

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from airlock.demo.airflow_api import AirflowApi
from airlock.demo.follow import Follower, Step, now
from airlock.digests import short
from airlock.errors import IntegrityError, UserError
from airlock.launcher.credentials import DemoUser
from airlock.launcher.layout import Layout
from airlock.settings import Settings, load_settings
from airlock.stores.artifacts import open_artifacts
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests

PIPELINES = ("data", "model", "deployment")


def run_demo(use_case: str, *, port: int, keep: bool, console: Console) -> None:
    """Start the stack, take the use case through its three DAGs, ask the served model, stop."""
    from airlock.launcher.stack import down, up

    home = Path(load_settings().home)
    up(home, port_base=port, console=console)
    try:
        tour(use_case, home, console)
    finally:
        if not keep:
            down(home, console=console)


def tour(use_case: str, home: Path, console: Console) -> None:
    """Take a use case through a stack that is up, and print what came of it."""
    settings = load_settings({"AIRLOCK_HOME": str(home)})
    follower = make_follower(settings, console)
    started = now()
    run = follower.person("data_engineer").trigger(f"{use_case}_data")
    for pipeline in PIPELINES:
        dag = f"{use_case}_{pipeline}"
        follower.follow(dag, run if pipeline == "data" else follower.wait_for_run(dag, started))
    console.print(table_of(follower.steps))
    line = closing_line(use_case, settings, follower.gates)
    console.print(line, soft_wrap=True)


def make_follower(settings: Settings, console: Console) -> Follower:
    """A follower that signs in as the stack's demo users."""
    users = msgspec.json.decode(Layout(Path(settings.home)).demo_users.read_bytes(), type=list[DemoUser])
    by_role = {user.role: user for user in users}

    @cache
    def person(role: str) -> AirflowApi:
        if role not in by_role:
            raise UserError(f"There is no demo user with the role {role}.", hint="Answer this gate by hand.")
        return AirflowApi(settings.airflow, by_role[role].username, by_role[role].password)

    status = console.status("") if console.is_terminal else None

    def show(text: str) -> None:
        if status is not None:
            status.update(text)
            status.start() if text else status.stop()

    requests = GateRequests(open_database(settings.database))
    return Follower(person("Admin"), person, requests, console.print, show)


def table_of(steps: list[Step]) -> Table:
    """What ran, for how long, and what was reused."""
    table = Table("pipeline", "step", "seconds", "cached?", title="airlock demo")
    for step in steps:
        table.add_row(step.dag, step.task, f"{step.seconds:.1f}", "yes, verified" if step.cached else "no")
    return table


def closing_line(use_case: str, settings: Settings, gates: int) -> str:
    """The figures of what serves now: asked of the endpoint, the manifest it names and the ledger."""
    from airlock.deployment.client import predict

    champion = served(use_case, settings)
    store = open_artifacts(settings.artifacts)
    release: dict[str, Any] = msgspec.json.decode(store.read(champion["manifest"]))
    package = msgspec.convert(release["package"], dict[str, Any])
    sample = first_sample(settings, package)
    predictions = sorted((predict(champion["endpoint"], sample) for _ in range(100)), key=lambda one: one.seconds)
    prediction, p50 = predictions[0], predictions[len(predictions) // 2].seconds * 1000
    if prediction.manifest != champion["manifest"]:
        raise IntegrityError(f"The endpoint serves {short(prediction.manifest)}, not {short(champion['manifest'])}.")
    return (
        f"prediction: {prediction.label} ({prediction.probability:.2f}) from {champion['endpoint']}\n"
        f"airlock: served {use_case} {short(champion['manifest'])} accuracy={release['metrics']['accuracy']:.4f} "
        f"size={release['model']['size']} p50={p50:.2f}ms gates={gates} "
        f"ledger={'ok' if ledger_holds(settings) else 'BROKEN'}"
    )


def served(use_case: str, settings: Settings) -> dict[str, str]:
    """Manifest digest and endpoint of what serves a use case now."""
    from airlock.stores.deployments import Deployments

    champion = Deployments(open_database(settings.database)).champion(use_case)
    if champion is None:
        raise UserError(f"Nothing serves {use_case}.")
    return {"manifest": champion.manifest, "endpoint": champion.endpoint}


def ledger_holds(settings: Settings) -> bool:
    """Whether every record of the ledger verifies."""
    from airlock.governance.ledger import verify_ledger
    from airlock.governance.signing import public_keys
    from airlock.stores.ledger import Ledger

    try:
        verify_ledger(Ledger(open_database(settings.database)).records(), public_keys(settings.public_keys))
    except IntegrityError:
        return False
    return True


def first_sample(settings: Settings, package: dict[str, Any]) -> bytes:
    """The bytes of the first sample input in a package."""
    from airlock.references import Artifact

    store = open_artifacts(settings.artifacts)
    listing = store.listing(msgspec.convert({"ref": "artifact"} | package, Artifact))
    name = min(name for name in listing if name.startswith("samples/"))
    return store.read(str(listing[name]["digest"]))
