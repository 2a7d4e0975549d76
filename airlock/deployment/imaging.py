"""Makes the build context of an image that serves one approved release: ``python -m airlock.deployment.imaging``.

The context holds the release manifest, its package and the decision that approved it; nothing else gets into the image.
The same approved release makes the same files whenever and wherever it is done, so that images of it can be compared by
digest. Its tag is made of the manifest's digest: no tag ever means another release.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from airlock.deployment.child import PACKAGE, RELEASE
from airlock.deployment.package import read_package
from airlock.deployment.release import decode_release
from airlock.digests import PREFIX
from airlock.errors import AirlockError, UserError
from airlock.governance.export import export
from airlock.governance.history import History
from airlock.governance.manifest import ReleaseManifest
from airlock.settings import Settings, settings
from airlock.stores.database import open_database
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger, Record

DECISION = "decision.jsonl"
GATE = "release"
EPOCH = 315532800  # 1980-01-01, the first moment that every archive format can hold


def prepare(stores: Settings, manifest: str, folder: Path) -> str:
    """Write the context of a release's image; return the tag, ``airlock/USE-CASE:sha256-…``.

    :param stores: where artifacts and ledger are.
    :param manifest: digest of the release manifest, or the beginning of it.
    :param folder: must not exist yet.
    :raises NotApproved: the ledger does not prove that the release gate approved it.
    :raises UserError: the folder exists, or the digest names no release of the ledger.
    :raises IntegrityError: the release or a file of its package is missing or was altered.
    """
    ledger = Ledger(open_database(stores.database))
    history = History.open(ledger, stores.public_keys)
    digest, artifacts = history.manifest(manifest), open_layers(stores)
    data = artifacts.read(digest)
    release = decode_release(data, digest)
    record, tag = history.approval(release.use_case, GATE, digest), tag_of(release, digest)
    if folder.exists():
        raise UserError(f"{folder} exists.", hint="Name a folder that does not.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        artifacts.fetch(release.package, staged / PACKAGE)
        read_package(staged / PACKAGE).require(release.package.digest)
        (staged / RELEASE).write_bytes(data)
        (staged / DECISION).write_text("".join(_until(record, ledger, stores.public_keys)), encoding="utf-8")
        _settle(staged)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return tag


def tag_of(release: ReleaseManifest, digest: str) -> str:
    """Return the name and tag of a release's image.

    :raises UserError: the use case's name cannot be an image's.
    """
    name = release.use_case.lower().replace("_", "-")
    if not name.replace("-", "").isalnum() or not name.isascii() or name != name.strip("-"):
        raise UserError(f"No image can be called {release.use_case!r}.", hint="Use letters, digits and underscores.")
    return f"airlock/{name}:sha256-{digest.removeprefix(PREFIX)}"


def _until(approval: Record, ledger: Ledger, keys: str) -> Iterator[str]:
    """The ledger's export as far as the approval, which is signed and so vouches for every record before it.

    Without the anchor of today, which is behind it, and would make another image of the same release tomorrow.
    """
    lines = export(ledger, keys)
    yield json.dumps(json.loads(next(lines)) | {"anchor": None}, ensure_ascii=False) + "\n"
    for _, line in zip(range(approval.seq), lines, strict=False):
        yield line


def _settle(folder: Path) -> None:
    """Give everything the same rights and time, whatever made it: they are part of an image's layers."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH, EPOCH))


def main(arguments: list[str] | None = None) -> int:
    """Prepare a context and print the tag."""
    parser = argparse.ArgumentParser(prog="python -m airlock.deployment.imaging", description=__doc__)
    parser.add_argument("manifest", help="digest of the release manifest, or the beginning of it")
    parser.add_argument("folder", type=Path, help="where the build context is written")
    options = parser.parse_args(arguments)
    try:
        print(prepare(settings(), options.manifest, options.folder))  # noqa: T201 - what the caller builds with
    except AirlockError as error:
        print(f"Refused: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
