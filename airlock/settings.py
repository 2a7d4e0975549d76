"""One place that says where everything is. Nothing else reads the environment.

Precedence: ``AIRLOCK_<FIELD>`` in the environment, then ``<home>/settings.json`` (written by ``airlock up``,
readable by its owner only), then the defaults of an embedded stack in ``<home>``.
"""

import os
from functools import lru_cache
from pathlib import Path

import msgspec

from airlock.errors import UserError

REFUSED = "refused"
"""In place of the address of a store that a process may not open."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Addresses of the stores and services.

    :param home: folder of the embedded stack's state.
    :param artifacts: URI of the artifact store, ``file:///…`` or ``s3://bucket/prefix``.
    :param datasets: URI of the folder that holds the Lance tables.
    :param sealed: URI of the store for what could give away test data; only steps that declare it are told.
    :param database: PostgreSQL DSN of Airlock's own database, as the application's role.
    :param tracking: URL of the MLflow tracking server.
    :param airflow: URL of Airflow's API server.
    :param serving: URL at which the local target serves.
    :param serving_key: API key with which steps ask served models, where their servers want one.
    :param server: JSON file with the model servers' options; empty for their defaults.
    :param public_keys: folder with the Ed25519 public keys that decisions are verified with.
    :param people: JSON file with name to roles of everybody who can sign in, kept by the API server.
    :param roster: JSON file with name to roles; when set, nobody has a role at a gate that it does not name too.
    :param notify: URL that is told about gates that wait too long; empty for the log only.
    :param label_studio: URL of the Label Studio server; empty when there is none.
    :param label_studio_token: access token for it, personal or legacy.
    :param label_studio_secret: what its webhooks must carry; empty for no webhooks.
    :param profiles: JSON file with the compute profiles; empty for the built-in ones.
    :param compute: which tasks run with which compute profile, ``DAG.TASK=PROFILE`` separated by spaces; ``*`` stands
        for anything, the first one that fits counts, and what a DAG names itself stays.
    :param targets: JSON file with the clusters that serve; empty for this machine only.
    :param target: where DAGs serve that name no target, ``local`` or one of ``targets``.
    """

    home: str
    artifacts: str = ""
    datasets: str = ""
    sealed: str = ""
    database: str = ""
    tracking: str = "http://127.0.0.1:8281"
    airflow: str = "http://127.0.0.1:8280"
    serving: str = "http://127.0.0.1:8283"
    serving_key: str = ""
    server: str = ""
    public_keys: str = ""
    people: str = ""
    roster: str = ""
    notify: str = ""
    label_studio: str = ""
    label_studio_token: str = ""
    label_studio_secret: str = ""
    profiles: str = ""
    compute: str = ""
    targets: str = ""
    target: str = "local"

    def environment(self) -> dict[str, str]:
        """Return the ``AIRLOCK_…`` variables that hand these settings to a child process."""
        return {f"AIRLOCK_{name.upper()}": value for name, value in msgspec.to_builtins(self).items() if value}


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Read the settings; see the module for the order of precedence."""
    source = dict(os.environ) if environ is None else environ
    home = Path(source.get("AIRLOCK_HOME", "~/.airlock")).expanduser().absolute()
    values = {
        "home": str(home),
        "artifacts": (home / "artifacts").as_uri(),
        "datasets": (home / "datasets").as_uri(),
        "sealed": (home / "sealed").as_uri(),
        "public_keys": str(home / "keys" / "public"),
        "people": str(home / "people.json"),
    }
    values |= _from_file(home / "settings.json")
    for name in Settings.__struct_fields__:
        if value := source.get(f"AIRLOCK_{name.upper()}"):
            values[name] = str(home) if name == "home" else value
    return msgspec.convert(values, Settings)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return this process's settings, read once."""
    return load_settings()


def _from_file(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is not a settings file: {error}.", hint="Delete it and run `airlock up`.") from error
