"""``airlock``: the embedded stack, the demo, datasets, gates, packages, the ledger and what it says about the past."""

import sys

import typer

from airlock.commands import (
    data,
    deployments,
    export,
    gate,
    history,
    key,
    ledger,
    lineage,
    model,
    package,
    policy,
    reproduce,
    results,
    run,
    search,
    stack,
)
from airlock.errors import AirlockError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
stack.register(app)
deployments.register(app)
export.register(app)
lineage.register(app)
reproduce.register(app)
results.register(model.app)
for name, commands in {
    "data": data,
    "gate": gate,
    "policy": policy,
    "ledger": ledger,
    "history": history,
    "search": search,
    "key": key,
    "model": model,
    "package": package,
    "run": run,
}.items():
    app.add_typer(commands.app, name=name)


def main() -> None:
    """Run the command; an Airlock error is one line on standard error and exit status 1."""
    try:
        app()
    except AirlockError as error:
        sys.stderr.write(f"airlock: {error}\n")
        sys.exit(1)
