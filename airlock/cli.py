"""``airlock``: start and stop the embedded stack, run the demo, read and verify the ledger."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airlock.errors import AirlockError
from airlock.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
ledger = typer.Typer(no_args_is_help=True, help="The append-only record of decisions, promotions and deployments.")
app.add_typer(ledger, name="ledger")
console = Console(highlight=False)

Port = Annotated[int, typer.Option(envvar="AIRLOCK_PORT", help="First of the five ports the stack uses.")]


@app.command()
def up(
    port: Port = 8280, triggerer: Annotated[bool, typer.Option(help="Also start Airflow's triggerer.")] = False
) -> None:
    """Start PostgreSQL, MLflow, Airflow and the serving reconciler; print phases and their seconds."""
    from airlock.launcher.stack import up as start

    start(Path(settings().home), port_base=port, console=console, triggerer=triggerer)


@app.command()
def down() -> None:
    """Stop everything `airlock up` started; state stays."""
    from airlock.launcher.stack import down as stop

    stop(Path(settings().home), console=console)


@app.command()
def status() -> None:
    """Show each service: state, port, uptime and memory (PSS)."""
    from airlock.launcher.status import print_status

    print_status(Path(settings().home), console)


@app.command()
def logs(service: str, lines: int = 50, follow: Annotated[bool, typer.Option("--follow", "-f")] = False) -> None:
    """Show the end of a service's log."""
    from airlock.launcher.logs import print_log

    print_log(Path(settings().home), service, lines=lines, follow=follow, console=console)


@app.command()
def demo(
    use_case: str = "digits",
    port: Port = 8280,
    keep: Annotated[bool, typer.Option(help="Leave the stack running afterwards.")] = False,
) -> None:
    """Take a use case through data, model and deployment, answering every gate as that role's demo user."""
    from airlock.demo import run_demo

    run_demo(use_case, port=port, keep=keep, console=console)


@app.command()
def schemas(folder: Path) -> None:
    """Write the JSON Schemas of the step contract into a folder."""
    from airlock.steps.contract import schemas as contract

    for name, schema in contract().items():
        (folder / f"{name}.schema.json").write_text(json.dumps(schema, indent=2) + "\n")


@ledger.command()
def verify() -> None:
    """Check hash chain and signatures of every record."""
    from airlock.governance.ledger import verify_ledger
    from airlock.governance.signing import public_keys
    from airlock.stores.database import open_database
    from airlock.stores.ledger import Ledger

    count = verify_ledger(Ledger(open_database(settings().database)).records(), public_keys(settings().public_keys))
    console.print(f"ledger ok: {count} records")


def main() -> None:
    """Run the command; an Airlock error is one line on standard error and exit status 1."""
    try:
        app()
    except AirlockError as error:
        sys.stderr.write(f"airlock: {error}\n")
        sys.exit(1)
