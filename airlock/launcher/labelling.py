"""Label Studio beside the embedded stack: its package in an environment of its own, because it cannot share ours."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import InfrastructureError
from airlock.launcher.layout import Layout, Ports
from airlock.launcher.ports import HOST
from airlock.launcher.readiness import answers
from airlock.launcher.services import LABEL_STUDIO, Service
from airlock.settings import Settings

if TYPE_CHECKING:
    from airlock.launcher.credentials import Secrets
VERSION = "1.23.2"
ADMIN = "admin@example.org"
INSTALL_SECONDS = 1800


def folder() -> Path:
    """Where the package is installed, once for all stacks of a user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return cache / "airlock" / f"label-studio-{VERSION}"


def program() -> Path:
    """The installed command."""
    return folder() / "bin" / "label-studio"


def install() -> None:
    """Install the package, about 1 GB, unless it is there.

    :raises InfrastructureError: it cannot be installed; the message ends with what the installer said.
    """
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks may start at once
        if (target / "installed").exists():
            return
        for command in _commands(target):
            _do(command)
        (target / "installed").touch()


def connected(settings: Settings, ports: Ports, secrets: "Secrets") -> Settings:
    """Return the settings with which steps find this Label Studio."""
    url, token = f"http://{HOST}:{ports.labelling}", secrets.labelling
    return msgspec.structs.replace(
        settings, label_studio=url, label_studio_token=token, label_studio_secret=secrets.labelling_hook
    )


def label_studio(layout: Layout, ports: Ports, secrets: "Secrets") -> Service:
    """The server, with its own SQLite file; the first start makes its tables, which takes a minute or more."""
    url = f"http://{HOST}:{ports.labelling}"
    address = ["--host", url, "--internal-host", HOST, "--port", str(ports.labelling)]
    layout.labelling.mkdir(exist_ok=True)
    return Service(
        name=LABEL_STUDIO,
        command=[str(program()), "start", "--no-browser", *address],
        environment=environment(layout.labelling, ADMIN, secrets.labelling_password, secrets.labelling),
        cwd=layout.labelling,
        ready=answers(ports.labelling, "/health"),
    )


def environment(data: Path, username: str, password: str, token: str) -> dict[str, str]:
    """What the server is told; of the caller's environment only where programs and certificates are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return kept | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_USERNAME": username,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "SSRF_PROTECTION_ENABLED": "false",  # webhooks go to 127.0.0.1
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "false",
        "DJANGO_DB": "sqlite",
        "PYTHONUNBUFFERED": "1",
    }


def _commands(target: Path) -> list[list[str]]:
    python, package = str(target / "bin" / "python"), f"label-studio=={VERSION}"
    beside = Path(sys.executable).with_name("uv")
    uv = shutil.which("uv") or (str(beside) if beside.exists() else "")
    if uv:
        install = [uv, "pip", "install", "--quiet", "--python", python, package]
        return [[uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(target)], install]
    return [[sys.executable, "-m", "venv", str(target)], [python, "-m", "pip", "install", "--quiet", package]]


def _do(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error)
        raise InfrastructureError(
            f"Label Studio {VERSION} cannot be installed into {folder()}: {said[-500:]}",
            hint="Check the network, or name a server of your own in AIRLOCK_LABEL_STUDIO.",
        ) from error
