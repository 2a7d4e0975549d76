"""``airlock key``: the keys that decisions are signed with."""

import json
from typing import Annotated

import typer
from rich.table import Table

from airlock.commands.output import console, plain
from airlock.settings import settings

app = typer.Typer(no_args_is_help=True, help="The key pairs that decisions are signed with.")


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="As `verify_export.py` reads them.")] = False,
) -> None:
    """Show the public keys: id, key, and since when a key may not sign any more."""
    from airlock.governance.rotation import keys, trusted_keys

    if as_json:
        plain.print(json.dumps(trusted_keys(settings().public_keys), indent=2))
        return
    table = Table("id", "public key", "signs", box=None, pad_edge=False)
    for key in keys(settings().public_keys):
        table.add_row(key.id, key.text, "now" if key.last is None else f"nothing after record {key.last}")
    console.print(table)


@app.command()
def rotate() -> None:
    """Sign with a new key from now on; what the old one signed until now still verifies, its private half is gone."""
    from airlock.governance.rotation import rotate as replace
    from airlock.launcher.adoption import host_authority

    key = replace(host_authority(settings()), settings().public_keys)
    console.print(f"key {key.id} signs from now on: {key.text}")
