"""Keeps this machine serving what is wanted: ``python -m airlock.deployment.reconciler``.

One process: a gateway on the port of ``settings.serving``, and a thread that reads the wanted deployments from
PostgreSQL once a second, starts, checks, replaces and restarts the servers behind the gateway, and writes back
what it observes. Without PostgreSQL it goes on with what it knows.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import uvicorn

from airlock.deployment.admission import Admission, ledger_approval
from airlock.deployment.gateway import create_gateway
from airlock.deployment.kubernetes.cluster import Cluster
from airlock.deployment.kubernetes.pods import Pods
from airlock.deployment.kubernetes.targets import read_targets
from airlock.deployment.place import Place, Publish, Server, name_at
from airlock.deployment.routes import Routes, Track
from airlock.deployment.shipping import Shipper, build_shipper
from airlock.deployment.slot import Observation, Slot
from airlock.errors import AirlockError, InfrastructureError, ResourceError
from airlock.settings import Settings, settings
from airlock.stores.artifacts import open_artifacts
from airlock.stores.database import open_database
from airlock.stores.deployments import LOCAL, STAGING, Deployment, Deployments

LOG = logging.getLogger("airlock.reconciler")
IDLE_SECONDS, BUSY_SECONDS = 1.0, 0.15


Key = tuple[str, str]
"""Use case and target."""


class Reconciler:
    """Compares what is wanted with what is served, and acts.

    :param make: gives what serves a use case at a target, which tells the last argument where.
    :param targets: that it looks after.
    :param endpoint: URL of the gateway.
    """

    def __init__(
        self,
        deployments: Deployments,
        admission: Admission,
        routes: Routes,
        make: Callable[[str, str, Track, Publish], Server],
        targets: tuple[str, ...],
        endpoint: str,
    ) -> None:
        self.deployments = deployments
        self.admission = admission
        self.routes = routes
        self.make = make
        self.targets = targets
        self.endpoint = endpoint
        self.places: dict[Key, Place] = {}
        self._wanted: list[Deployment] = []
        self._written: dict[Key, Observation] = {}
        self._away = False

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; every server of this machine is stopped then."""
        try:
            while not stop.wait(BUSY_SECONDS if self.busy else IDLE_SECONDS):
                self.tick()
        finally:
            for place in self.places.values():
                place.stop()

    @property
    def busy(self) -> bool:
        return any(place.busy for place in self.places.values())

    def tick(self) -> None:
        """Look once at what is wanted and go one step towards it everywhere."""
        self._wanted = self._read()
        before = self.routes.all()
        for wanted in self._wanted:
            key = wanted.use_case, wanted.target
            self._write(key, self._place(key).tick(wanted))
        self._drop({(wanted.use_case, wanted.target) for wanted in self._wanted})
        if self.routes.all() is not before:
            self.admission.prune({digest for place in self.places.values() for digest in place.manifests})

    def _place(self, key: Key) -> Place:
        if key not in self.places:
            self.places[key] = Place(name_at(*key), self.routes, partial(self.make, *key))
        return self.places[key]

    def _drop(self, wanted: set[Key]) -> None:
        for key in self.places.keys() - wanted:
            LOG.info("%s is not wanted any more at %s", *key)
            self.places.pop(key).remove()
            self._written.pop(key, None)

    def _read(self) -> list[Deployment]:
        try:
            wanted = self.deployments.wanted(*self.targets)
        except (InfrastructureError, ResourceError) as error:
            if not self._away:
                LOG.warning("what is wanted cannot be read; what is served goes on: %s", error)
            self._away = True
            return self._wanted
        if self._away:
            LOG.info("the database answers again")
            self._away = False
        return wanted

    def _write(self, key: Key, seen: Observation) -> None:
        if self._written.get(key) == seen or self._away:
            return
        endpoint = f"{self.endpoint}/{name_at(*key)}"
        try:
            self.deployments.observe(*key, seen.generation, seen.state, endpoint, seen.detail)
        except (InfrastructureError, ResourceError) as error:
            LOG.warning("%s at %s: the state %r is written later: %s", *key, seen.state, error)
            return
        self._written[key] = seen


class Service:
    """The gateway and the reconciler's thread in one process.

    :param reconciler: runs while the gateway runs; when it dies, the process ends rather than serve what is stale.
    :param shipper: takes the servers' predictions to the scoring store meanwhile.
    """

    def __init__(self, reconciler: Reconciler, shipper: Shipper, listener: socket.socket) -> None:
        self.reconciler = reconciler
        self.shipper = shipper
        self.listener = listener
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until SIGTERM."""
        # uvicorn raises the signal again when it is done; by then there is nothing left to interrupt.
        signal.signal(signal.SIGTERM, lambda *_: None)
        app = create_gateway(self.reconciler.routes, self._working)
        config = uvicorn.Config(app, lifespan="on", access_log=False, log_level="warning", timeout_graceful_shutdown=3)
        uvicorn.Server(config).run(sockets=[self.listener])

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        threads = [
            threading.Thread(target=self._work, args=(work,), name=name)
            for name, work in (("reconciler", self.reconciler.run), ("shipper", self.shipper.run))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                await anyio.to_thread.run_sync(thread.join)

    def _work(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._stop)
        finally:
            if not self._stop.is_set():
                os.kill(os.getpid(), signal.SIGTERM)


def build(settings: Settings, routes: Routes) -> Reconciler:
    """Wire a reconciler to the stores."""
    database = open_database(settings.database)
    home = Path(settings.home)
    approval = ledger_approval(database, settings.public_keys)
    admission = Admission(open_artifacts(settings.artifacts), home / "serving", approval)

    clusters = {
        name: (target, Cluster(target.kubeconfig, target.namespace))
        for name, target in read_targets(settings.targets).items()
    }

    def make(use_case: str, target: str, track: Track, publish: Publish) -> Server:
        name = name_at(use_case, target)
        if target in clusters:
            configured, cluster = clusters[target]
            artifacts = configured.artifacts or settings.artifacts
            return Pods(use_case, target, track, configured, cluster, admission, publish, artifacts, name)
        log = f"serving-{name}.log" if track == "stable" else f"serving-{name}-canary.log"
        return Slot(use_case, admission, publish, home / "logs" / log, name)

    targets = tuple(dict.fromkeys((LOCAL, STAGING, *clusters)))
    return Reconciler(Deployments(database), admission, routes, make, targets, settings.serving.rstrip("/"))


def listen(url: str) -> socket.socket:
    """Take the port of a URL.

    :raises InfrastructureError: something else listens there.
    """
    parts = urlsplit(url)
    address = parts.hostname or "127.0.0.1", parts.port or 80
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InfrastructureError(
            f"The serving port {address[1]} cannot be taken: {error.strerror}.",
            hint="Stop what listens there, or set AIRLOCK_SERVING to another port.",
        ) from error
    return listener


def main() -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        service = Service(build(settings(), Routes()), build_shipper(settings()), listen(settings().serving))
    except AirlockError as error:
        LOG.error("%s", error)
        return 1
    LOG.info("gateway at %s", settings().serving)
    service.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
