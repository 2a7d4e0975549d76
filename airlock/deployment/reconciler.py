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
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread
import uvicorn

from airlock.deployment.admission import Admission, ledger_approval
from airlock.deployment.gateway import Routes, create_gateway
from airlock.deployment.shipping import Shipper, build_shipper
from airlock.deployment.slot import Observation, Slot
from airlock.errors import AirlockError, InfrastructureError, ResourceError
from airlock.settings import Settings, settings
from airlock.stores.artifacts import open_artifacts
from airlock.stores.database import open_database
from airlock.stores.deployments import Deployment, Deployments

LOG = logging.getLogger("airlock.reconciler")
TARGET = "local"
IDLE_SECONDS, BUSY_SECONDS = 1.0, 0.15


class Reconciler:
    """Compares what is wanted with what is served, and acts.

    :param endpoint: URL of the gateway.
    :param logs: folder for the servers' output.
    """

    def __init__(
        self, deployments: Deployments, admission: Admission, routes: Routes, endpoint: str, logs: Path
    ) -> None:
        self.deployments = deployments
        self.admission = admission
        self.routes = routes
        self.endpoint = endpoint
        self.logs = logs
        self.slots: dict[str, Slot] = {}
        self._wanted: list[Deployment] = []
        self._written: dict[str, Observation] = {}
        self._away = False

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; every server is stopped then."""
        try:
            while not stop.wait(BUSY_SECONDS if self.busy else IDLE_SECONDS):
                self.tick()
        finally:
            for slot in self.slots.values():
                slot.stop()

    @property
    def busy(self) -> bool:
        return any(slot.busy for slot in self.slots.values())

    def tick(self) -> None:
        """Look once at what is wanted and go one step towards it everywhere."""
        self._wanted = self._read()
        for wanted in self._wanted:
            slot = self._slot(wanted.use_case)
            serving = slot.serving
            self._write(wanted.use_case, slot.tick(wanted.generation, wanted.manifest))
            if slot.serving is not serving:
                self.admission.prune({digest for each in self.slots.values() for digest in each.manifests})
        self._drop({wanted.use_case for wanted in self._wanted})

    def _slot(self, use_case: str) -> Slot:
        if use_case not in self.slots:
            log = self.logs / f"serving-{use_case}.log"
            self.slots[use_case] = Slot(use_case, self.admission, self.routes, log)
        return self.slots[use_case]

    def _drop(self, wanted: set[str]) -> None:
        for use_case in self.slots.keys() - wanted:
            LOG.info("%s is not wanted any more", use_case)
            self.slots.pop(use_case).stop()

    def _read(self) -> list[Deployment]:
        try:
            wanted = self.deployments.wanted(TARGET)
        except (InfrastructureError, ResourceError) as error:
            if not self._away:
                LOG.warning("what is wanted cannot be read; what is served goes on: %s", error)
            self._away = True
            return self._wanted
        if self._away:
            LOG.info("the database answers again")
            self._away = False
        return wanted

    def _write(self, use_case: str, seen: Observation) -> None:
        if self._written.get(use_case) == seen or self._away:
            return
        endpoint = f"{self.endpoint}/{use_case}"
        try:
            self.deployments.observe(use_case, TARGET, seen.generation, seen.state, endpoint, seen.detail)
        except (InfrastructureError, ResourceError) as error:
            LOG.warning("%s: the state %r is written later: %s", use_case, seen.state, error)
            return
        self._written[use_case] = seen


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
    return Reconciler(Deployments(database), admission, routes, settings.serving.rstrip("/"), home / "logs")


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
