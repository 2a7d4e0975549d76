"""A real Label Studio: its PyPI package in an environment of its own, made once, and a migrated database to copy.

Making both takes minutes and happens once in the user's cache folder; a server on a copy answers in seconds.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from airlock.errors import InfrastructureError
from airlock.launcher.labelling import ADMIN, VERSION, environment, install, program

PASSWORD = "secret-admin-1"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
LABELERS = ("lena@example.com", "sami@example.com")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "airlock-tests"
TEMPLATE = CACHE / f"label-studio-{VERSION}-{ADMIN}"
FIRST_START, START = 900.0, 120.0


class LabelStudioServer:
    """A server on 127.0.0.1.

    :param folder: its data.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.token = TOKEN
        self.admin = httpx.Client(base_url=self.url, headers={"Authorization": f"Token {TOKEN}"}, timeout=60)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = START) -> None:
        """Start, and wait until it answers."""
        address = ["--host", self.url, "--internal-host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "start", "--no-browser", *address],
                env=environment(self.folder, ADMIN, PASSWORD, TOKEN),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while not self._up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "server.log").read_text()[-3000:])
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop at once, as a machine that fails does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def labeler(self, email: str) -> "Labeler":
        """Sign somebody up by the invitation link, as a person would, unless they are."""
        link = self.admin.get("/api/invite").json()["invite_url"]
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60) as browser:
            browser.get(link)
            form = {"email": email, "password": PASSWORD, "how_find_us": "", "elaborate": ""}
            csrf = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            browser.post(link, data=form | csrf, headers={"Referer": self.url + link})
            if "sessionid" not in browser.cookies:
                browser.post("/user/login/", data=form | csrf, headers={"Referer": f"{self.url}/user/login/"})
            csrf_header = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": self.url}
            made = browser.post("/api/token/", headers=csrf_header)
            made.raise_for_status()
            return Labeler(self.url, email, made.json()["token"])

    def _up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).json()["status"] == "UP"
        except (httpx.HTTPError, ValueError, KeyError):
            return False


class Refreshed(httpx.Auth):
    """A personal access token: what it is exchanged for lasts five minutes."""

    requires_response_body = True

    def __init__(self, url: str, refresh: str) -> None:
        self.exchange = httpx.Request("POST", f"{url}/api/token/refresh", json={"refresh": refresh})
        self.access = "none-yet"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request, with a new access token when the one before is refused."""
        request.headers["Authorization"] = f"Bearer {self.access}"
        reply = yield request
        if reply.status_code == httpx.codes.UNAUTHORIZED:
            self.access = (yield self.exchange).json()["access"]
            request.headers["Authorization"] = f"Bearer {self.access}"
            yield request


class Labeler:
    """A person who answers over the public API, with a personal access token of their own."""

    def __init__(self, url: str, email: str, refresh: str) -> None:
        self.email = email
        self.refresh = refresh
        self.http = httpx.Client(base_url=url, auth=Refreshed(url, refresh), timeout=60)
        self.id = int(self.http.get("/api/current-user/whoami").json()["id"])

    def _access(self, url: str) -> str:
        """Exchange the token; right after a person signed up, the server's answer may be empty."""
        for _ in range(20):
            reply = httpx.post(f"{url}/api/token/refresh", json={"refresh": self.refresh}, timeout=60)
            if access := reply.raise_for_status().json()["access"]:
                return str(access)
            time.sleep(0.5)
        raise RuntimeError(f"no access token for {self.email}: {reply.text}")

    def tasks(self, project: int) -> dict[str, int]:
        """Sample id to task."""
        found = self.http.get("/api/tasks", params={"project": project, "page_size": 1000, "include": "id,data"})
        return {task["data"]["sample_id"]: task["id"] for task in found.raise_for_status().json()["tasks"]}

    def next_task(self, project: int) -> dict[str, Any] | None:
        """The task that the server gives this person next."""
        found = self.http.post("/api/dm/actions", params={"id": "next_task", "project": project})
        return found.json() if found.is_success else None

    def answer(self, task: int, label: str, **more: Any) -> dict[str, Any]:
        """Choose a label."""
        part = {"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": [label]}}
        return self.send(task, [part], **more)

    def send(self, task: int, result: Any, **more: Any) -> dict[str, Any]:
        """Send any result at all."""
        body = {"result": result, "lead_time": 2.5, **more}
        return self.http.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status().json()

    def skip(self, task: int) -> None:
        """Say nothing about a task."""
        self.send(task, [], was_cancelled=True)


@contextmanager
def running(folder: Path, seconds: float = START) -> Iterator[LabelStudioServer]:
    """Run a server on a data folder."""
    server = LabelStudioServer(folder, _free_port())
    try:
        server.start(seconds)
        yield server
    finally:
        server.stop()
        server.admin.close()


@pytest.fixture(scope="session")
def label_studio_data() -> Path:
    """Give a migrated data folder to copy; skip, with the reason, only where the package cannot be installed."""
    try:
        return prepare()
    except InfrastructureError as error:
        pytest.skip(str(error))


def prepare() -> Path:
    """Install the package and make a migrated data folder, unless they are there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install()
        if not TEMPLATE.is_dir():
            making = TEMPLATE.with_name(f"{TEMPLATE.name}.making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            with running(making, FIRST_START):
                pass
            making.rename(TEMPLATE)
    return TEMPLATE


@pytest.fixture(scope="session")
def label_studio(label_studio_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """Run Label Studio for the session."""
    folder = tmp_path_factory.mktemp("label-studio") / "data"
    shutil.copytree(label_studio_data, folder)
    with running(folder) as server:
        yield server


@pytest.fixture(scope="session")
def labelers(label_studio: LabelStudioServer) -> tuple[Labeler, ...]:
    """Give two people who were invited."""
    return tuple(label_studio.labeler(email) for email in LABELERS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":  # .ci/run begins early, for it takes minutes of waiting
    prepare()
