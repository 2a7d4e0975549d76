"""Bring Airflow's and Airlock's databases to the installed versions, with roles and demo users: ``prepare.py USERS``.

``OWNER_DATABASE`` is the DSN of the role that owns Airlock's schema; nothing else in the stack has it.
"""

import os
import sys
from pathlib import Path

from airlock.launcher.credentials import load_demo_users
from airlock.launcher.databases import APPLICATION, GUARD
from airlock.plugins import bootstrap
from airlock.stores.migrations import upgrade


def main(users: Path) -> None:
    """Migrate, then create the roles and one user for each.

    :param users: file with the demo users and their random passwords; made at the first start, readable by its owner.
    """
    load_demo_users(users)
    upgrade(os.environ.pop("OWNER_DATABASE"), APPLICATION, GUARD)
    bootstrap.main(users)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
