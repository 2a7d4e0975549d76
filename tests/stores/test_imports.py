"""What every command and every operator imports stays light."""

import subprocess
import sys

HEAVY = "alembic sqlalchemy psycopg2 cryptography lance pyarrow pandas numpy boto3 botocore mlflow tensorflow airflow"
MODULES = (
    "airlock.stores.artifacts airlock.stores.database airlock.stores.datasets airlock.stores.deployments "
    "airlock.stores.gates airlock.stores.labels airlock.stores.ledger airlock.stores.migrations airlock.stores.queue "
    "airlock.stores.verification airlock.governance.approval airlock.governance.decisions airlock.governance.evidence "
    "airlock.governance.ledger airlock.governance.manifest airlock.governance.policy airlock.governance.signing "
    "airlock.launcher.postgres"
)


def test_stores_and_governance_import_nothing_heavy() -> None:
    code = f"import sys, {', '.join(MODULES.split())}\nprint(*({set(HEAVY.split())!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
