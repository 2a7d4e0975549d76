"""Where the embedded stack keeps its state, and which ports it takes."""

from pathlib import Path

import msgspec

DEFAULT_PORT = 8280


class Layout(msgspec.Struct, frozen=True):
    """Folders and files below one home.

    :param home: absolute path of the state folder.
    """

    home: Path

    @property
    def settings(self) -> Path:
        return self.home / "settings.json"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets.json"

    @property
    def demo_users(self) -> Path:
        return self.home / "demo_users.json"

    @property
    def roster(self) -> Path:
        return self.home / "roster.json"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def airflow(self) -> Path:
        return self.home / "airflow"

    @property
    def mlflow(self) -> Path:
        return self.home / "mlflow"

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def serving(self) -> Path:
        return self.home / "serving"

    @property
    def labelling(self) -> Path:
        return self.home / "labelling"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    def create(self) -> None:
        """Make the folders that are not there yet."""
        for folder in (self.airflow, self.mlflow, self.serving, self.logs, self.run):
            folder.mkdir(parents=True, exist_ok=True)


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """TCP ports on 127.0.0.1, counted from one base.

    :param logs: named in Airflow's configuration so that two stacks never share it; nothing listens there.
    """

    airflow: int
    mlflow: int
    postgres: int
    serving: int
    logs: int
    labelling: int

    @classmethod
    def from_base(cls, base: int = DEFAULT_PORT) -> "Ports":
        """Return the six ports from ``base`` on."""
        return cls(
            airflow=base, mlflow=base + 1, postgres=base + 2, serving=base + 3, logs=base + 4, labelling=base + 5
        )

    def of_services(self) -> dict[str, int]:
        """Return the port of every service that listens on one."""
        return {
            "api-server": self.airflow,
            "mlflow": self.mlflow,
            "reconciler": self.serving,
            "label-studio": self.labelling,
        }
