"""``airlock reproduce``: a candidate once more, from its manifest alone."""

from typing import Annotated

import msgspec
import typer

from airlock.commands.output import plain
from airlock.settings import settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reproduce)


def reproduce(
    manifest: Annotated[str, typer.Argument(help="Digest of a candidate manifest, or the beginning of it.")],
    tolerance: Annotated[float, typer.Option(help="Largest difference of a probability that counts as equal.")] = 1e-3,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Transform and train again, and say whether the same comes out: exit status 1 when it does not."""
    from airlock.governance.history import History
    from airlock.steps.reproduction import reproduce as do_again
    from airlock.stores.database import open_database
    from airlock.stores.ledger import Ledger

    history = History.open(Ledger(open_database(settings().database)), settings().public_keys)
    found = do_again(settings(), history.manifest(manifest), tolerance, lambda line: plain.print(line, highlight=False))
    if json:
        plain.print(msgspec.json.encode(found).decode())
    else:
        plain.print(
            f"{found.verdict}: tensors {'the same' if found.tensors else 'other'} bytes, model "
            f"{'the same' if found.model else 'other'} bytes, largest difference of a probability "
            f"{'no number' if found.largest is None else f'{found.largest:.3g}'} "
            f"(tolerance {found.tolerance:g}), validation accuracy {found.accuracy:.4f} (was {found.before:.4f})"
        )
    if found.verdict == "different":
        raise typer.Exit(1)
