"""``airlock ledger``: verify, read and export the append-only record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import track
from rich.table import Table
from rich.text import Text

from airlock.commands.output import console, plain, seconds_of, when
from airlock.digests import PREFIX, short
from airlock.errors import UserError
from airlock.settings import settings
from airlock.stores.database import open_database
from airlock.stores.ledger import Ledger, Record

app = typer.Typer(no_args_is_help=True, help="The append-only record of decisions, promotions and deployments.")
LONG = 2000

Case = Annotated[str, typer.Option("--use-case", help="Only this use case.")]


@app.command()
def verify() -> None:
    """Check hash chain, signatures and anchor: every record, from the first to the last that was signed."""
    from airlock.governance.anchor import read_anchor
    from airlock.governance.ledger import verified
    from airlock.governance.signing import public_keys, retired_keys

    folder, book = settings().public_keys, _ledger()
    keys = public_keys(folder)
    anchor = read_anchor(folder, keys)  # before the records: it must not be ahead of them
    records = verified(book.read(), keys, anchor, retired=retired_keys(folder))
    length = book.length()
    shown = track(records, "verifying", total=length, console=console, transient=True) if length > LONG else records
    console.print(f"ledger ok: {sum(1 for _ in shown)} records")


@app.command()
def show(
    number: Annotated[int | None, typer.Argument(help="One record, in full.")] = None,
    use_case: Case = "",
    kind: Annotated[str, typer.Option(help="Only this kind, for example decision.")] = "",
    manifest: Annotated[str, typer.Option(help="Only what names this manifest; a prefix of its digest will do.")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on, ISO.")] = "",
) -> None:
    """Show the records, or one in full. Nothing is verified here: that is `airlock ledger verify`."""
    if number is not None:
        _show_one(number)
        return
    after = seconds_of(since) if since else 0.0
    wanted = manifest.removeprefix(PREFIX)
    table = Table("#", "time", "kind", "use case", "what", box=None, pad_edge=False)
    for record in _ledger().read():
        named = str(record.body.get("manifest", "")).removeprefix(PREFIX)
        fits = (not use_case or record.use_case == use_case) and (not kind or record.kind == kind)
        if fits and record.created >= after and named.startswith(wanted):
            table.add_row(str(record.seq), when(record.created), record.kind, record.use_case, Text(summary(record)))
    console.print(table)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="File to write; standard output when it is left out.")] = None,
) -> None:
    """Write everything as JSON Lines, to be verified offline by `airlock/governance/verify_export.py`."""
    from airlock.governance.export import export as lines

    source: Iterator[str] = lines(_ledger(), settings().public_keys)
    if file is None:
        for line in source:
            typer.echo(line, nl=False)
        return
    with file.open("w", encoding="utf-8") as target:
        target.writelines(source)


def summary(record: Record) -> str:
    """One line about a record: who or what."""
    body = record.body
    about = f"manifest {short(str(body['manifest']))}" if body.get("manifest") else ""
    match record.kind:
        case "policy":
            return f"{body.get('gate')} gate"
        case "request":
            return f"{body.get('gate')} gate, {about}, request {str(body.get('request'))[:12]}"
        case "decision":
            note = f" “{body['comment']}”" if body.get("comment") else ""
            return f"{body.get('gate')} gate, {about}: {body.get('user')} chose {body.get('option')!r}{note}"
        case "closed":
            who = f" by {body['user']}" if body.get("user") else ""
            return f"{body.get('gate')} gate, {about}: {body.get('verdict')}{who}"
        case "void":
            return f"record {short(str(body.get('record')))}: {body.get('reason', '')}"
    where = body.get("target") or body.get("queue") or ""
    return f"{about} to {where}" if where else about


def _show_one(number: int) -> None:
    record = next(_ledger().read(number - 1), None) if number > 0 else None
    if record is None or record.seq != number:
        raise UserError(f"The ledger has no record {number}.", hint="`airlock ledger show` lists them.")
    plain.print(f"record {record.seq} · {record.kind} · {when(record.created)}")
    plain.print(f"hash      {record.hash}\nprevious  {record.previous or '–'}")
    plain.print(f"signed    {f'with key {record.key_id}: {record.signature}' if record.signature else 'no'}")
    plain.print(msgspec.json.format(msgspec.json.encode(record.body), indent=2).decode())


def _ledger() -> Ledger:
    return Ledger(open_database(settings().database))
