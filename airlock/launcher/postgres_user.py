"""PostgreSQL refuses to run as root: which OS user it runs as instead, and what that user must be able to reach."""

import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from airlock.errors import UserError

NAME = "airlock-postgres"


class OSUser(msgspec.Struct, frozen=True, kw_only=True):
    """Who the server runs as.

    :param uid: numeric user; likewise ``gid``. ``None`` for whoever runs Airlock.
    """

    uid: int | None = None
    gid: int | None = None

    @property
    def spawn(self) -> dict[str, Any]:
        """Arguments for ``subprocess`` that start a process as this user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a path to this user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def let_in(self, folder: Path) -> None:
        """Let this user walk through a folder and those above it, without the right to list or read any.

        :raises UserError: a folder's mode cannot be changed.
        """
        if self.uid is None:
            return
        for step in (folder, *folder.parents):
            mode = step.stat()
            if mode.st_uid != self.uid and not mode.st_mode & stat.S_IXOTH:
                _add_mode(step, stat.S_IXOTH)

    def let_read(self, tree: Path) -> None:
        """Let this user read a tree of public files, such as an installed package."""
        self.let_in(tree)
        if self.uid is None or (tree / "bin" / "postgres").stat().st_mode & stat.S_IROTH:
            return
        for path in (tree, *tree.rglob("*")):
            executable = path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))


def choose_user() -> OSUser:
    """Return the current user, or for root an unprivileged one: a system user of our own, else ``nobody``."""
    if os.geteuid() != 0:
        return OSUser()
    entry = _lookup(NAME) or _create() or pwd.getpwnam("nobody")
    return OSUser(uid=entry.pw_uid, gid=entry.pw_gid)


def _lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create() -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd")
    if useradd is None:
        return None
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
    subprocess.run(command, check=False, capture_output=True)
    return _lookup(NAME)


def _add_mode(path: Path, bits: int) -> None:
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
    except OSError as error:
        raise UserError(
            f"PostgreSQL does not run as root, and its own user cannot reach {path}: {error}.",
            hint="Run Airlock as an ordinary user, or set AIRLOCK_HOME to a folder that other users can enter.",
        ) from error
