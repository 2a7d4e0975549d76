"""``airlock deployments`` and ``airlock rollback``: what is wanted where, and back to what served before."""

import getpass
from typing import Annotated

import typer

from airlock.commands.output import console, plain, when
from airlock.digests import short
from airlock.settings import settings
from airlock.stores.database import open_database
from airlock.stores.deployments import LOCAL, Deployment, Deployments


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("deployments")(deployments)
    app.command("rollback")(rollback)


def deployments(
    use_case: Annotated[str, typer.Argument(help="Only this use case.")] = "",
    limit: Annotated[int, typer.Option(help="So many of the newest.")] = 20,
) -> None:
    """List what was wanted where, and what became of it, the newest first."""
    for each in Deployments(open_database(settings().database)).all(use_case)[:limit]:
        plain.print(f"{each.generation:>4} {when(each.created)} {each.use_case} at {each.target}: {_wanted(each)}")


def rollback(
    use_case: Annotated[str, typer.Argument(help="Name of the use case.")],
    reason: Annotated[str, typer.Option("--reason", "-m", help="Why; it stands in the ledger.")],
    to: Annotated[str, typer.Option(help="Digest of a release that served once, or the beginning of it.")] = "",
    target: Annotated[str, typer.Option(help="Where.")] = LOCAL,
) -> None:
    """Let the last approved release that served before serve again, and prove it by what answers then.

    While a canary runs, the champion beside it serves alone again.
    """
    from airlock.deployment.going_back import choose, go_back
    from airlock.deployment.place import name_at
    from airlock.deployment.rollout import Rollout, answering
    from airlock.governance.book import Book
    from airlock.stores.ledger import Ledger

    database = open_database(settings().database)
    ledger, known = Ledger(database), Deployments(database)
    back = choose(Book.open(ledger, settings().public_keys), known, use_case, target, to)
    endpoint = f"{settings().serving.rstrip('/')}/{name_at(use_case, target)}"
    rollout = Rollout(
        use_case=use_case, target=target, manifest=back.manifest, decision=back.decision, endpoint=endpoint
    )
    told = {"by": getpass.getuser(), "reason": reason}
    deployment, record = go_back(back, rollout, known, ledger, told, lambda *_: None)
    _crown(back.manifest)
    plain.print(f"{use_case} at {target}: back from {short(back.left)} to {short(back.manifest)}")
    plain.print(f"{endpoint} answers as {short(answering(endpoint) or 'nobody')}, generation {deployment.generation}")
    console.print(f"ledger record {record.seq}")


def _crown(manifest: str) -> None:
    """Mirror it in the model registry. That is no part of going back: what serves is decided."""
    from airlock.errors import AirlockError
    from airlock.governance.manifest import ReleaseManifest, load
    from airlock.model.registry import crown
    from airlock.stores.layers import open_layers

    store = open_layers(settings())
    try:
        crown(settings().tracking, store, load(store, manifest, ReleaseManifest).candidate)
    except AirlockError as error:
        console.print(f"[yellow]the model registry still names another champion: {error}[/]")


def _wanted(each: Deployment) -> str:
    said = f"{each.state or 'not looked at'}{': ' + each.detail if each.detail else ''}"
    if not each.manifest:
        return "nothing is wanted any more"
    if not each.canary:
        return f"{short(each.manifest)} {said}"
    part = "shadow" if each.shadow else f"{each.share:.0%}"
    return f"{short(each.manifest)} with {short(each.canary)} at {part} {said}"
