"""Put the policies of the packaged use cases in force at gates that have none yet.

Needs the signing key and the guard's database, as the API server does. A policy that is in force stays: what a new
image brings changes nobody's gate.
"""

from airlock.governance.authority import authority
from airlock.launcher.adoption import adopt_new
from airlock.launcher.airflow_config import packaged_dags
from airlock.settings import settings

if __name__ == "__main__":
    adopt_new(authority(), settings(), [packaged_dags()])
