"""Make the key pair that decisions are signed with, if there is none: ``keys.py FOLDER``.

The API server is told one fixed file name, so ``private/decisions.pem`` leads to the key.
"""

import sys
from pathlib import Path

from airlock.governance.signing import create_keypair


def main(folder: Path) -> None:
    """Fill ``private/`` and ``public/`` below a folder."""
    link = folder / "private" / "decisions.pem"
    if link.exists():
        return
    link.symlink_to(create_keypair(folder).name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
