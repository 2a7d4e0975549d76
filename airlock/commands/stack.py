"""``airlock up``, ``down``, ``status``, ``logs``, ``demo`` and ``schemas``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from airlock.commands.output import console
from airlock.settings import settings

Port = Annotated[int, typer.Option(envvar="AIRLOCK_PORT", help="First of the six ports the stack uses.")]


def up(
    port: Port = 8280,
    triggerer: Annotated[bool, typer.Option(help="Also start Airflow's triggerer.")] = False,
    labelling: Annotated[bool, typer.Option(help="Also start Label Studio (installed the first time, 1 GB).")] = False,
) -> None:
    """Start PostgreSQL, MLflow, Airflow and the serving reconciler; print phases and their seconds."""
    from airlock.launcher.stack import up as start

    start(Path(settings().home), port_base=port, console=console, triggerer=triggerer, labelling=labelling)


def down() -> None:
    """Stop everything `airlock up` started; state stays."""
    from airlock.launcher.stack import down as stop

    stop(Path(settings().home), console=console)


def status() -> None:
    """Show each service: state, port, uptime and memory (PSS)."""
    from airlock.launcher.status import print_status

    print_status(Path(settings().home), console)


def logs(service: str, lines: int = 50, follow: Annotated[bool, typer.Option("--follow", "-f")] = False) -> None:
    """Show the end of a service's log."""
    from airlock.launcher.logs import print_log

    print_log(Path(settings().home), service, lines=lines, follow=follow, console=console)


def demo(
    use_case: str = "digits",
    port: Port = 8280,
    keep: Annotated[bool, typer.Option(help="Leave the stack running afterwards.")] = False,
) -> None:
    """Take a use case through data, model and deployment, answering every gate as that role's demo user."""
    from airlock.demo import run_demo

    run_demo(use_case, port=port, keep=keep, console=console)


def schemas(folder: Path) -> None:
    """Write the JSON Schemas of the step contract into a folder."""
    from airlock.steps.contract import schemas as contract

    for name, schema in contract().items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n")


def register(app: typer.Typer) -> None:
    """Add the commands of the stack."""
    for command in (up, down, status, logs, demo, schemas):
        app.command()(command)
