"""Serves one package: ``python -m airlock.deployment.server --package DIR --manifest sha256:… --port N``.

The release manifest lies beside the package (``DIR/../release.json``) or where ``--release`` says. Its bytes must
hash to ``--manifest``, and the package to what it names; otherwise nothing is served and the exit status is 3.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import uvicorn

from airlock.deployment.app import Endpoints, create_app
from airlock.deployment.middleware import Stamp
from airlock.deployment.package import Package, read_package
from airlock.deployment.release import read_release
from airlock.errors import AirlockError

LOG = logging.getLogger("airlock.server")
REFUSED = 3


def verified_package(folder: Path, manifest: str, release: Path) -> Package:
    """Read a package that is exactly what a release manifest names.

    :raises IntegrityError: the manifest's bytes or the package's files were altered.
    """
    package = read_package(folder)
    package.require(read_release(release, manifest).package.digest)
    return package


class ModelServer:
    """One uvicorn server that stops, with exit status 3, when its model cannot be loaded.

    :param root_path: the prefix under which a gateway shows this server.
    """

    def __init__(self, package: Package, manifest: str, host: str, port: int, root_path: str = "") -> None:
        endpoints = Endpoints(package, manifest)
        app = Stamp(create_app(endpoints, self._fail), endpoints.metrics, package.config.limits.body_bytes)
        config = uvicorn.Config(app, host=host, port=port, root_path=root_path, lifespan="on", access_log=False,
                                log_level="warning", limit_concurrency=128, timeout_graceful_shutdown=5)  # fmt: skip
        self._server = uvicorn.Server(config)
        self.status = 0

    def run(self) -> int:
        """Serve until SIGTERM and return the exit status."""
        self._server.run()
        return self.status

    def _fail(self, error: BaseException) -> None:
        LOG.error("The package cannot be served: %s", error, exc_info=not isinstance(error, AirlockError))
        self.status = REFUSED
        self._server.should_exit = True


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
    try:
        package = verified_package(options.package, options.manifest, options.release)
        server = ModelServer(package, options.manifest, options.host, options.port, options.root_path)
    except AirlockError as error:
        LOG.error("Refused: %s", error)
        return REFUSED
    LOG.info("serving %s %s on %s:%d", package.config.name, options.manifest, options.host, options.port)
    return server.run()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m airlock.deployment.server", description="Serve one package.")
    parser.add_argument("--package", type=Path, required=True, help="folder that holds airlock.json")
    parser.add_argument("--manifest", required=True, help="digest of the release manifest")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--release", type=Path, help="the release manifest; default: release.json beside the folder")
    parser.add_argument("--root-path", default="", help="prefix under which a gateway shows this server")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
    options = parser.parse_args(arguments)
    options.release = options.release or options.package.absolute().parent / "release.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
