"""The three databases of the embedded PostgreSQL and the roles that reach them."""

from contextlib import closing

import msgspec

from airlock.launcher.credentials import Secrets
from airlock.launcher.postgres import EmbeddedPostgres

AIRFLOW = "airflow"
MLFLOW = "mlflow"
AIRLOCK = "airlock"
OWNER = "airlock_owner"
APPLICATION = "airlock_app"
GUARD = "airlock_guard"


class Databases(msgspec.Struct, frozen=True, kw_only=True):
    """PostgreSQL URLs with passwords; keep them out of logs and command lines.

    :param owner: Airlock's database as the role that owns its tables (migrations only).
    :param application: the same as the role that may not alter tables or the ledger's past.
    :param guard: the same as the role that may also append signed records; only the API server is told.
    """

    airflow: str
    mlflow: str
    owner: str
    application: str
    guard: str


def databases(postgres: EmbeddedPostgres, secrets: Secrets) -> Databases:
    """Return the addresses, whether or not the databases exist yet."""
    return Databases(
        airflow=_with_driver(postgres.dsn(AIRFLOW, secrets.airflow, AIRFLOW)),
        mlflow=_with_driver(postgres.dsn(MLFLOW, secrets.mlflow, MLFLOW)),
        owner=postgres.dsn(OWNER, secrets.owner, AIRLOCK),
        application=postgres.dsn(APPLICATION, secrets.application, AIRLOCK),
        guard=postgres.dsn(GUARD, secrets.guard, AIRLOCK),
    )


def create_databases(postgres: EmbeddedPostgres, secrets: Secrets) -> None:
    """Create roles and databases that are missing; nobody but owner and application role may connect."""
    passwords = {
        AIRFLOW: secrets.airflow,
        MLFLOW: secrets.mlflow,
        OWNER: secrets.owner,
        APPLICATION: secrets.application,
        GUARD: secrets.guard,
    }
    for role, password in passwords.items():
        postgres.create_role(role, password)
    postgres.create_database(AIRFLOW, AIRFLOW)
    postgres.create_database(MLFLOW, MLFLOW)
    postgres.create_database(AIRLOCK, OWNER, (APPLICATION, GUARD))


def cluster_id(postgres: EmbeddedPostgres) -> str:
    """Return PostgreSQL's own identifier of its data folder."""
    import psycopg2

    with closing(psycopg2.connect(postgres.admin_dsn())) as link, link.cursor() as cursor:
        cursor.execute("SELECT system_identifier::text FROM pg_control_system()")
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def _with_driver(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg2://", 1)
