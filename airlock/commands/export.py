"""``airlock export``: an approved release for a device, a C++ program, or a cluster that somebody else runs."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from airlock.commands.output import plain
from airlock.errors import UserError
from airlock.settings import settings


class For(StrEnum):
    """What an export is for."""

    EDGE = "edge"
    CPP = "cpp"
    KUBERNETES = "kubernetes"
    SERVERLESS = "serverless"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    release: Annotated[str, typer.Argument(help="Digest of an approved release manifest, or the beginning of it.")],
    out: Annotated[Path, typer.Argument(help="A folder, or FILE.tar, that does not exist yet.")],
    target: Annotated[For, typer.Option("--target", help="What it is for.")],
    cluster: Annotated[str, typer.Option(help="Which of AIRLOCK_TARGETS; for kubernetes and serverless.")] = "",
) -> None:
    """Write an approved release for somewhere else, after its approval was verified."""
    from airlock.deployment.exports.bundle import BUNDLES, manifests, write
    from airlock.deployment.kubernetes.documents import Placed
    from airlock.deployment.kubernetes.targets import read_targets
    from airlock.deployment.package import read_package
    from airlock.deployment.release import decode_release
    from airlock.governance.history import History
    from airlock.stores.artifacts import open_artifacts
    from airlock.stores.database import open_database
    from airlock.stores.ledger import Ledger

    store = open_artifacts(settings().artifacts)
    history = History.open(Ledger(open_database(settings().database)), settings().public_keys)
    digest = history.manifest(release)
    data = store.read(digest)
    named = decode_release(data, digest)
    history.approval(named.use_case, "release", digest)
    if target in BUNDLES:
        with tempfile.TemporaryDirectory() as folder:
            package = read_package(store.fetch(named.package, Path(folder) / "package"))
        write(BUNDLES[target](package, data), out)
    else:
        targets = read_targets(settings().targets)
        if cluster not in targets:
            raise UserError(
                f"There is no target {cluster!r}.", hint=f"--cluster names one of: {', '.join(targets) or 'none yet'}."
            )
        placed = Placed(use_case=named.use_case, target=cluster, manifest=digest, track="stable", prefix="")
        found = targets[cluster]
        write(manifests(placed, found, found.artifacts or settings().artifacts, idle=target == For.SERVERLESS), out)
    plain.print(f"{out}: {named.use_case} {digest}")
