"""Brings the embedded stack up and down."""

from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from airlock.governance.authority import DATABASE, KEY_FILE, authority
from airlock.launcher import services
from airlock.launcher.adoption import adopt_new
from airlock.launcher.airflow_config import packaged_dags, write_airflow_config
from airlock.launcher.announcement import StackInfo, announce, say_to
from airlock.launcher.credentials import Secrets, load_demo_users, load_secrets, write_private, write_roster
from airlock.launcher.databases import APPLICATION, GUARD, Databases, cluster_id, create_databases, databases
from airlock.launcher.exclusive import exclusive
from airlock.launcher.labelling import connected, install, label_studio
from airlock.launcher.layout import DEFAULT_PORT, Layout, Ports
from airlock.launcher.phases import Phases
from airlock.launcher.ports import HOST, require_free
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.launcher.services import Service
from airlock.launcher.stamps import Stamps, read_stamps, wanted_stamps, write_stamps
from airlock.launcher.starting import Starting, process_of
from airlock.launcher.stopping import stop_everything
from airlock.settings import Settings, load_settings
from airlock.stores.migrations import upgrade


def up(
    home: Path,
    port_base: int = DEFAULT_PORT,
    console: Console | None = None,
    *,
    triggerer: bool = False,
    labelling: bool = False,
    dags: Path | None = None,
) -> StackInfo:
    """Start what is not running yet and wait until it works; stop it all again if that fails.

    :param port_base: first of six consecutive ports.
    :param console: shows phases, their seconds, and at the first start the demo users.
    :param triggerer: also start Airflow's triggerer, for deferrable operators.
    :param labelling: also start Label Studio, and the triggerer that waits for people's answers.
    :param dags: folder with DAGs of the user's own.
    :raises UserError: a port is taken.
    :raises InfrastructureError: a service does not start; the message names it and shows the end of its log.
    """
    layout = Layout(home.expanduser().absolute())
    layout.create()
    with exclusive(layout):
        start = Start(layout, Ports.from_base(port_base), Phases(say_to(console)))
        optional = {services.TRIGGERER: triggerer or labelling, services.LABEL_STUDIO: labelling}
        info = start.run({name for name, wanted in optional.items() if wanted}, dags)
    announce(info, console)
    return info


def down(home: Path, console: Console | None = None) -> list[str]:
    """Stop everything, in order, in whatever state it is; return the names of what was running."""
    layout = Layout(home.expanduser().absolute())
    if not layout.run.is_dir():
        return []
    with exclusive(layout):
        return stop_everything(layout, Phases(say_to(console)))


class Start:
    """One start of the stack."""

    def __init__(self, layout: Layout, ports: Ports, phases: Phases) -> None:
        self.layout = layout
        self.ports = ports
        self.phases = phases
        self.starting = Starting(layout, phases)
        self.postgres = EmbeddedPostgres(layout.postgres, ports.postgres, log=layout.logs / "postgres.log")

    def run(self, optional: set[str], dags: Path | None) -> StackInfo:
        """Start what is missing.

        :param optional: which of the optional services are wanted.
        """
        secrets = load_secrets(self.layout.secrets)
        urls = databases(self.postgres, secrets)
        settings = self._settings(urls.application)
        if services.LABEL_STUDIO in optional:
            settings = connected(settings, self.ports, secrets)
        users = load_demo_users(self.layout.demo_users)
        first = read_stamps(self.layout) == Stamps()  # no start ever came to its end
        missing = self._missing(optional)
        if self.postgres.running and not missing:
            return StackInfo(settings=settings, users=users)
        self._require_free_ports(missing)
        write_private(self.layout.settings, settings)
        write_roster(self.layout.roster, users)
        write_airflow_config(self.layout, self.ports, secrets, urls.airflow, dags)
        with ExitStack() as undo:
            undo.callback(stop_everything, self.layout, self.phases)
            self._start(missing, settings, secrets, urls, dags)
            undo.pop_all()
        done, seconds = self.phases.done, self.phases.total
        return StackInfo(settings=settings, users=users, users_are_new=first, phases=done, seconds=seconds)

    def _missing(self, optional: set[str]) -> list[str]:
        names = [name for name in services.NAMES if name not in services.OPTIONAL or name in optional]
        return [name for name in names if process_of(name, self.layout).leader() is None]

    def _start(
        self, missing: list[str], settings: Settings, secrets: Secrets, urls: Databases, dags: Path | None
    ) -> None:
        with self.phases.phase(services.POSTGRES):
            self.postgres.start()
        known, wanted = read_stamps(self.layout), wanted_stamps(self.layout, cluster_id(self.postgres))
        needs = services.Needs(
            layout=self.layout,
            ports=self.ports,
            settings=settings,
            tracking_database=urls.mlflow,
            upgrade_tracking=known.mlflow != wanted.mlflow,
            guard={KEY_FILE: str(_signing_key(self.layout.keys)), DATABASE: urls.guard},
            triggerer=services.TRIGGERER in missing,
        )
        chosen = [service for service in services.declare(needs) if service.name in missing]
        if known != wanted:
            chosen = self._prepare(chosen, needs, secrets)
        with self.phases.phase("airlock database"):
            upgrade(urls.owner, APPLICATION, GUARD)
            adopt_new(authority(needs.guard), settings, [packaged_dags(), *filter(None, [dags])])
        self.starting.wait(job="bootstrap")
        components = [service for service in chosen if service.name in services.COMPONENTS]
        self.starting.launch(service for service in chosen if service not in components)
        if services.LABEL_STUDIO in missing:
            with self.phases.phase(f"{services.LABEL_STUDIO} package"):
                install()
            self.starting.launch([label_studio(self.layout, self.ports, secrets)])
        if components:
            self.starting.fork(services.airflow_parent(needs), components)
        self.starting.wait()
        write_stamps(self.layout, wanted)

    def _prepare(self, chosen: list[Service], needs: services.Needs, secrets: Secrets) -> list[Service]:
        """Make the databases and begin to fill them; MLflow's server does its own. Return what is left to start."""
        with self.phases.phase("databases"):
            create_databases(self.postgres, secrets)
        tracking = [service for service in chosen if service.name == "mlflow"]
        self.starting.launch([services.bootstrap(needs), *tracking])
        return [service for service in chosen if service not in tracking]

    def _settings(self, database: str) -> Settings:
        stores = load_settings({"AIRLOCK_HOME": str(self.layout.home)})
        return msgspec.structs.replace(
            stores,
            database=database,
            roster=str(self.layout.roster),
            tracking=f"http://{HOST}:{self.ports.mlflow}",
            airflow=f"http://{HOST}:{self.ports.airflow}",
            serving=f"http://{HOST}:{self.ports.serving}",
        )

    def _require_free_ports(self, missing: list[str]) -> None:
        ports = {name: port for name, port in self.ports.of_services().items() if name in missing}
        if not self.postgres.running:
            ports[services.POSTGRES] = self.ports.postgres
        require_free(ports)


def _signing_key(keys: Path) -> Path:
    """Return the private key that decisions are signed with; make the pair at the first start."""
    from airlock.governance.signing import create_keypair

    found = sorted((keys / "private").glob("*.pem"))
    if not found:
        create_keypair(keys)
        found = sorted((keys / "private").glob("*.pem"))
    return found[-1]
