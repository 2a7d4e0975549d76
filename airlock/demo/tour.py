"""The demo from start to stop: what it says, in which order, and the figures it ends with."""

from functools import cache
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from airlock.demo.airflow_api import AirflowApi
from airlock.demo.follow import Follower, Step, now
from airlock.demo.serving import ask_served, closing_line, ledger_holds
from airlock.errors import UserError
from airlock.governance.book import Book
from airlock.launcher.credentials import DemoUser
from airlock.launcher.layout import Layout
from airlock.settings import Settings, load_settings
from airlock.stores.database import open_database
from airlock.stores.gates import GateRequests

PIPELINES = ("data", "model", "deployment")


def run_demo(use_case: str, *, port: int, keep: bool, console: Console) -> None:
    """Start the stack, take the use case through its three DAGs, ask the served model, stop."""
    from airlock.launcher.stack import down, up

    home = Path(load_settings().home)
    up(home, port_base=port, console=console)
    try:
        steps, line = tour(use_case, home, console)
    finally:
        if not keep:
            down(home, console=console)
    console.print(table_of(steps))
    console.print(line, soft_wrap=True)


def tour(use_case: str, home: Path, console: Console) -> tuple[list[Step], str]:
    """Take a use case through a stack that is up; return what ran, and the figures of what serves now."""
    settings = load_settings({"AIRLOCK_HOME": str(home)})
    follower = make_follower(settings, console)
    started = now()
    run = follower.person("data_engineer").trigger(f"{use_case}_data")
    for pipeline in PIPELINES:
        dag = f"{use_case}_{pipeline}"
        follower.follow(dag, run if pipeline == "data" else follower.wait_for_run(dag, started))
    served = ask_served(use_case, settings)
    answer = served.prediction
    console.print(f"{served.endpoint} says of a sample: {answer.label}, {answer.probability:.0%} sure")
    return follower.steps, closing_line(served, follower.gates, ledger_holds(settings))


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

    def book() -> Book:
        return Book.open(requests.ledger, settings.public_keys)

    return Follower(person("Admin"), person, requests, book, console.print, show)


def table_of(steps: list[Step]) -> Table:
    """What ran, for how long, and what was reused."""
    table = Table("pipeline", "step", "seconds", "cached?", title="airlock demo")
    for step in steps:
        table.add_row(step.dag, step.task, f"{step.seconds:.1f}", "yes, verified" if step.cached else "no")
    return table
