"""``airlock run``: two runs side by side, and a run forked with a parameter changed."""

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from airlock.commands.output import console, plain
from airlock.errors import UserError
from airlock.settings import settings

if TYPE_CHECKING:
    from airlock.steps.comparison import Facts
    from airlock.stores.artifacts import ArtifactStore

app = typer.Typer(no_args_is_help=True, help="Compare runs, and fork them.")


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="DAG/RUN, or the beginning of a candidate manifest's digest.")],
    second: Annotated[str, typer.Argument(help="Likewise.")],
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what differs between two runs or candidates: parameters, code, data, environment, metrics."""
    from airlock.steps.comparison import differences

    found = differences(*_facts(first, second))
    if json:
        plain.print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    if not found:
        plain.print("nothing differs")
        return
    from rich.table import Table

    table = Table("", "name", first, second)
    shown = ""
    for each in found:
        table.add_row(each.section if each.section != shown else "", each.name, each.before or "–", each.after or "–")
        shown = each.section
    console.print(table)


@app.command()
def fork(
    run: Annotated[str, typer.Argument(help="DAG/RUN to do again.")],
    change: Annotated[list[str], typer.Option("--set", help="TASK.ARGUMENT[.KEY]=VALUE, as JSON or as text.")],
    user: Annotated[str, typer.Option(help="Who starts it, in Airflow.")] = "admin",
    password: Annotated[str, typer.Option(envvar="AIRLOCK_PASSWORD", help="Theirs.")] = "",
) -> None:
    """Start a run that does the same with some arguments changed: what comes before them is reused."""
    from airlock.demo.airflow_api import AirflowApi

    dag, name = _named(run)
    conf = {"fork": {"of": run, "set": changes(change)}}
    api = AirflowApi(settings().airflow, user, password)
    before = api.run(dag, name)["conf"] or {}
    manifest = before.get("manifest") or _claimed(dag, name)
    started = api.trigger(dag, before | conf | ({"manifest": manifest} if manifest else {}))
    plain.print(f"started {dag}/{started}")


def changes(asked: list[str]) -> dict[str, dict[str, Any]]:
    """Read ``train.parameters.epochs=5`` as ``{"train": {"parameters.epochs": 5}}``.

    :raises UserError: it is of another form.
    """
    read: dict[str, dict[str, Any]] = {}
    for each in asked:
        path, equals, text = each.partition("=")
        task, dot, argument = path.partition(".")
        if not (equals and dot and task and argument):
            raise UserError(f"{each!r} changes nothing.", hint="Write TASK.ARGUMENT=VALUE: train.parameters.epochs=5.")
        try:
            value = json_module.loads(text)
        except ValueError:
            value = text
        read.setdefault(task, {})[argument] = value
    return read


def _facts(*names: str) -> "list[Facts]":
    from airlock.steps.comparison import aside, facts_of_run
    from airlock.steps.records import read_run
    from airlock.stores.layers import open_layers

    store = open_layers(settings())
    runs = {name: read_run(store, *_named(name)) for name in names if "/" in name}
    idle = aside(*runs.values())
    return [facts_of_run(runs[name], idle) if name in runs else _of_candidate(store, name) for name in names]


def _of_candidate(store: "ArtifactStore", name: str) -> "Facts":
    from airlock.governance.history import History
    from airlock.governance.manifest import CandidateManifest, load_any
    from airlock.steps.comparison import facts_of_candidate
    from airlock.stores.database import open_database
    from airlock.stores.ledger import Ledger

    history = History.open(Ledger(open_database(settings().database)), settings().public_keys)
    manifest = load_any(store, history.manifest(name))
    if not isinstance(manifest, CandidateManifest):
        raise UserError(f"Manifest {name} is no candidate's.", hint="Name a candidate, or two runs as DAG/RUN.")
    return facts_of_candidate(manifest)


def _named(run: str) -> tuple[str, str]:
    dag, slash, name = run.partition("/")
    if not slash or not name:
        raise UserError(f"{run!r} names no run.", hint="Write DAG/RUN, as Airflow shows them.")
    return dag, name


def _claimed(dag: str, run: str) -> str:
    """What the run worked on, by its steps' records: a manifest that one was given and none of them made."""
    from airlock.steps.records import read_run
    from airlock.stores.layers import open_layers

    records = read_run(open_layers(settings()), dag, run).values()
    made = {digest for record in records for digest in _manifests(record.result.outputs)}
    given = (digest for record in records for digest in _manifests(record.spec.inputs))
    return next((digest for digest in given if digest not in made), "")


def _manifests(values: dict[str, Any]) -> list[str]:
    """Digests of the manifests among inputs or outputs."""
    references = [value for value in values.values() if isinstance(value, dict)]
    return [str(each["digest"]) for each in references if each.get("media_type", "").endswith("manifest+json")]
