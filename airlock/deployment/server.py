"""Serves one package: ``python -m airlock.deployment.server --package DIR --manifest sha256:… --port N``.

The release manifest lies beside the package (``DIR/../release.json``) or where ``--release`` says. Its bytes must
hash to ``--manifest``, and the package to what it names; with ``--decision FILE --keys DIR`` an export of the ledger
must prove that it was approved. Otherwise nothing is served and the exit status is 3.
"""

import argparse
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import uvicorn

from airlock.deployment.app import Endpoints, create_app
from airlock.deployment.keys import Keys
from airlock.deployment.middleware import Limits, Stamp
from airlock.deployment.options import read_options
from airlock.deployment.package import Package, read_package
from airlock.deployment.release import read_release
from airlock.deployment.spool import Spool
from airlock.errors import AirlockError, UserError

LOG = logging.getLogger("airlock.server")
REFUSED = 3
LAME_SECONDS = 0.3  # a server that was told to stop still says so to whoever asks meanwhile
SWITCH_SECONDS = 0.0005  # how long the event loop may wait for the thread that writes predictions down
MOST_CONNECTIONS = 1_024


def verified_package(folder: Path, manifest: str, release: Path) -> Package:
    """Read a package that is exactly what a release manifest names.

    :raises IntegrityError: the manifest's bytes or the package's files were altered.
    """
    package = read_package(folder)
    package.require(read_release(release, manifest).package.digest)
    return package


class ModelServer(uvicorn.Server):
    """One uvicorn server that stops, with exit status 3, when its model cannot be loaded.

    On SIGTERM it is not ready any more and answers what comes new with 503; it ends once what it had taken in is
    answered, or waited for long enough.

    :param address: host and port.
    :param root_path: the prefix under which a gateway shows this server.
    """

    def __init__(self, endpoints: Endpoints, address: tuple[str, int], root_path: str = "") -> None:
        options = endpoints.options
        keys = Keys(Path(options.keys)) if options.keys else None
        app = create_app(endpoints, self._fail)
        self._limits = Limits(app, options, endpoints.payloads.limit, keys, endpoints.refused)
        stamped = Stamp(self._limits, endpoints.metrics)
        host, port = address
        config = uvicorn.Config(stamped, host=host, port=port, root_path=root_path, lifespan="on", access_log=False,
                                server_header=False, log_level="warning", limit_concurrency=MOST_CONNECTIONS,
                                timeout_graceful_shutdown=1)  # fmt: skip
        super().__init__(config)
        self.status = 0
        self._endpoints = endpoints
        self._told = 0.0  # when it was told to stop

    def serve_until_stopped(self) -> int:
        """Serve until SIGTERM and return the exit status."""
        self.run()
        return self.status

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load and listen; what is there then stays, and is no more looked through for garbage: that takes 15 ms."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal stops at once."""
        if self._told:
            super().handle_exit(sig, frame)
        self._told = time.monotonic()
        self._limits.draining = self._endpoints.draining = True

    async def on_tick(self, counter: int) -> bool:
        """End when nobody waits for an answer any more. Called ten times a second."""
        if self._told:
            seconds = time.monotonic() - self._told
            drained = not self._limits.inside and seconds >= LAME_SECONDS
            self.should_exit = self.should_exit or drained or seconds >= self._endpoints.options.drain_seconds
        return await super().on_tick(counter)

    def _fail(self, error: BaseException) -> None:
        LOG.error("The package cannot be served: %s", error, exc_info=not isinstance(error, AirlockError))
        self.status = REFUSED
        self.should_exit = True


def stop_with_parent() -> None:
    """End this process when standard input ends: whoever started it holds the other side of the pipe."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin: a thread that waits in there aborts the interpreter's own end
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Verify and serve."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if options.with_parent:
        stop_with_parent()
    if os.geteuid() == 0:
        LOG.warning("this process is root: a use case's code runs in it; start it as another user")
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        server = _server(options)
    except AirlockError as error:
        LOG.error("Refused: %s", error)
        return REFUSED
    LOG.info("serving %s on %s:%d", options.manifest, options.host, options.port)
    return server.serve_until_stopped()


def _server(options: argparse.Namespace) -> ModelServer:
    wanted = read_options(options.options)
    package = verified_package(options.package, options.manifest, options.release)
    if bool(options.decision) != bool(options.keys):
        raise UserError("--decision and --keys belong together.", hint="Give both, or neither.")
    if options.decision:
        from airlock.deployment.proof import require_proof

        require_proof(options.decision, options.keys, package.config.use_case, options.manifest)
    spool = Spool(options.spool, wanted.spool_bytes) if options.spool else None
    endpoints = Endpoints(package, options.manifest, wanted, spool)
    return ModelServer(endpoints, (options.host, options.port), options.root_path)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m airlock.deployment.server", description="Serve one package.")
    parser.add_argument("--package", type=Path, required=True, help="folder that holds airlock.json")
    parser.add_argument("--manifest", required=True, help="digest of the release manifest")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--release", type=Path, help="the release manifest; default: release.json beside the folder")
    parser.add_argument("--decision", type=Path, help="export of the ledger that proves the approval; needs --keys")
    parser.add_argument("--keys", type=Path, help="folder with the public keys that are trusted here")
    parser.add_argument("--spool", type=Path, help="folder for predictions on their way to the scoring store")
    parser.add_argument("--options", default="", help="JSON file with the server's options")
    parser.add_argument("--root-path", default="", help="prefix under which a gateway shows this server")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    options.release = options.release or options.package.absolute().parent / "release.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
