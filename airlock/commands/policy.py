"""``airlock policy``: what the gates demand; adopted by whoever runs the host, not by whoever writes DAGs."""

import difflib
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from airlock.commands.output import console, plain
from airlock.errors import InfrastructureError, UserError
from airlock.governance.book import Book
from airlock.governance.people import check_people, read_people
from airlock.governance.policy import GateFile, GatePolicy, read_gates
from airlock.settings import settings
from airlock.stores.database import open_database
from airlock.stores.ledger import Ledger

app = typer.Typer(no_args_is_help=True, help="The policies of the gates: who must decide, in which order, and how.")

Files = Annotated[list[Path], typer.Argument(help="gates.json of one or more use cases.")]


@app.command()
def adopt(
    files: Files,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a policy in force is replaced.")] = False,
) -> None:
    """Put policies in force, signed; open requests made under another one must be asked again."""
    from airlock.governance.adoption import adopt as put_in_force
    from airlock.launcher.adoption import host_authority

    guard = host_authority(settings())
    found = [read_gates(path) for path in files]
    for gates in found:
        _check_people(gates)
    book = _book()
    replaced = [_print_difference(gates, name, book) for gates in found for name in sorted(gates.gates)]
    if any(replaced) and not yes:
        typer.confirm("Replace the policies in force?", abort=True)
    adopted = [record for gates in found for record in put_in_force(guard, settings().public_keys, gates)]
    for record in adopted:
        plain.print(f"adopted: {record.body['gate']} gate of {record.use_case} (ledger record {record.seq})")
    if not adopted:
        console.print("nothing to adopt: these policies are in force")


@app.command()
def show(use_case: Annotated[str, typer.Argument(help="Only this use case.")] = "") -> None:
    """Show the policies in force."""
    book = _book()
    for case, gate in book.gates:
        if use_case in ("", case):
            policy = book.policies[book.policy_in_force(case, gate)]
            plain.print(f"{case}, {gate} gate: {policy.describe()}")
            plain.print(_text(policy))


@app.command()
def check(files: Files) -> None:
    """Say whether files describe gates that somebody could open, and how they differ from what is in force."""
    for path in files:
        gates = read_gates(path)
        _check_people(gates)
        for name, policy in sorted(gates.gates.items()):
            plain.print(f"{gates.use_case}, {name} gate: {policy.describe()}")
        try:
            book = _book()
        except (InfrastructureError, UserError) as error:
            plain.print(f"not compared with what is in force: {error}")
            continue
        for name in sorted(gates.gates):
            _print_difference(gates, name, book)
    if read_people(settings().people) is None:
        plain.print("whether somebody could open them is not known here: the API server writes down who can sign in")


def _check_people(gates: GateFile) -> None:
    for name, policy in sorted(gates.gates.items()):
        check_people(policy, f"the {name} gate of {gates.use_case}", settings().people)


def _print_difference(gates: GateFile, name: str, book: Book) -> bool:
    """Say how a policy differs from the one in force; return whether it replaces one."""
    digest = book.policy_in_force(gates.use_case, name)
    before, now = _text(book.policies[digest]) if digest else "", _text(gates.gates[name])
    where = f"{gates.use_case}, {name} gate"
    if before == now:
        plain.print(f"{where}: in force")
    elif not digest:
        plain.print(f"{where}: new")
    else:
        lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "in force", "new", lineterm="", n=2)
        plain.print(f"{where}: changed\n" + "\n".join(lines))
    return bool(digest) and before != now


def _text(policy: GatePolicy) -> str:
    return msgspec.json.format(msgspec.json.encode(policy), indent=2).decode()


def _book() -> Book:
    return Book.open(Ledger(open_database(settings().database)), settings().public_keys)
