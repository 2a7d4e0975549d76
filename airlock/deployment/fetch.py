"""Lays a release out for a server: ``python -m airlock.deployment.fetch --manifest sha256:… --into DIR``.

Every byte is verified against the manifest's digest; a folder that is not exactly the release is never left behind.
"""

import argparse
import logging
import sys
from pathlib import Path

from airlock.deployment.child import PACKAGE, RELEASE
from airlock.deployment.release import decode_release
from airlock.errors import AirlockError
from airlock.settings import settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts

LOG = logging.getLogger("airlock.fetch")


def fetch(artifacts: ArtifactStore, manifest: str, folder: Path) -> None:
    """Write package and release manifest into a folder.

    :raises IntegrityError: something is missing or was altered.
    """
    data = artifacts.read(manifest)
    artifacts.fetch(decode_release(data, manifest).package, folder / PACKAGE)
    (folder / RELEASE).write_bytes(data)


def main(arguments: list[str] | None = None) -> int:
    """Fetch; an error is one line and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m airlock.deployment.fetch", description="Lay out a release.")
    parser.add_argument("--manifest", required=True, help="digest of the release manifest")
    parser.add_argument("--into", type=Path, required=True, help="folder that gets package/ and release.json")
    options = parser.parse_args(arguments)
    try:
        fetch(open_artifacts(settings().artifacts), options.manifest, options.into)
    except AirlockError as error:
        LOG.error("%s", error)
        return 1
    LOG.info("laid out %s", options.manifest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
