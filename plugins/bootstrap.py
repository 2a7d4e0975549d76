"""Airflow's database, the six roles and the demo users, in one process: ``python -m airlock.plugins.bootstrap USERS``.

Every call of Airflow's own command line costs seconds of imports; this pays for them once. Doing it again is harmless.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.governance.people import write_people
from airlock.launcher.credentials import DemoUser
from airlock.plugins.identity import FabDirectory, known_roles
from airlock.plugins.rights import RIGHTS
from airlock.settings import settings

if TYPE_CHECKING:
    from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride


def main(users: Path) -> None:
    """Prepare the database that Airflow's configuration names.

    :param users: JSON file with the demo users.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils.db import upgradedb
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    providers_configuration_loaded(upgradedb)()
    with get_application_builder() as builder:
        sync(builder.sm, msgspec.json.decode(users.read_bytes(), type=list[DemoUser]))
    # Before the first DAG is parsed: from then on the API server's clock keeps it up to date.
    write_people(settings().people, known_roles(FabDirectory()))


def sync(manager: "FabAirflowSecurityManagerOverride", users: list[DemoUser]) -> None:
    """Create what is missing: built-in roles, ours, and a user for each. Rights that people added stay."""
    manager.sync_roles()
    manager.bulk_sync_roles([{"role": role, "perms": sorted(rights)} for role, rights in RIGHTS.items()])
    for user in users:
        _sync_user(manager, user)


def _sync_user(manager: "FabAirflowSecurityManagerOverride", user: DemoUser) -> None:
    found = manager.find_user(username=user.username)
    if found is not None:
        manager.reset_password(found.id, user.password)  # the file may have been made anew
        return
    manager.add_user(
        username=user.username,
        first_name=user.username.capitalize(),
        last_name=user.role,
        email=f"{user.username}@airlock.invalid",
        role=manager.find_role(user.role),
        password=user.password,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
