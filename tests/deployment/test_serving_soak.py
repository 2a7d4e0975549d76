"""Under load, with servers and reconcilers killed at random: no wrong answer, no unapproved one, errors only 429/503.

The gateway lives in the reconciler's process: while that is dead, nobody listens, and a refused or cut connection is
what a client sees. It counts as unavailable, like a 503.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from serving_machine import Machine

from airlock.deployment.config import HEADER
from airlock.deployment.package import Package
from airlock.references import Artifact
from airlock.stores.scoring import Scoring

pytestmark = pytest.mark.integration
INFER = "/shapes/v2/models/shapes/infer"
UNAVAILABLE = {429, 503}


class Client:
    """Asks about random pictures and checks every answer.

    :param releases: those that were ever approved.
    """

    def __init__(self, url: str, releases: set[str], seed: int) -> None:
        self.url = url
        self.releases = releases
        self.seen: Counter[object] = Counter()
        self.wrong: list[str] = []
        self.predictions: list[str] = []
        self._random = np.random.default_rng(seed)

    def run(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.url, timeout=10, trust_env=False) as http:
            while not stop.is_set():
                try:
                    self.ask(http)
                except httpx.TransportError:
                    self.seen["unreachable"] += 1
                    time.sleep(0.05)

    def ask(self, http: httpx.Client) -> None:
        half = int(self._random.integers(3))
        picture = self._random.integers(0, 60, (8, 8, 1)).astype(np.uint8)
        picture[[np.s_[:, :4], np.s_[:, 4:], np.s_[:4]][half]] += 150
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": picture.ravel().tolist()}
        reply = http.post(INFER, json={"inputs": [tensor]})
        self.seen[reply.status_code] += 1
        if reply.status_code == 200:
            answer = reply.json()
            if int(np.argmax(answer["outputs"][0]["data"])) != half:
                self.wrong.append(f"answered {answer} for {half}")
            if answer["manifest"] not in self.releases or reply.headers[HEADER] != answer["manifest"]:
                self.wrong.append(f"answered by {answer['manifest']}")
            self.predictions.append(answer["parameters"]["prediction"])
        elif reply.status_code not in UNAVAILABLE:
            self.wrong.append(f"{reply.status_code}: {reply.text[:200]}")


@pytest.fixture
def clients(machine: Machine) -> Iterator[Callable[[set[str]], list[Client]]]:
    """Give ``clients(releases)``: four that ask until the test ends."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start(releases: set[str]) -> list[Client]:
        found = [Client(machine.settings.serving, releases, seed) for seed in range(4)]
        threads.extend(threading.Thread(target=client.run, args=(stop,)) for client in found)
        for thread in threads:
            thread.start()
        return found

    start.stop = lambda: (stop.set(), [thread.join() for thread in threads])  # type: ignore[attr-defined]
    yield start
    stop.set()


@pytest.mark.parametrize("seconds", [25, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_killing_servers_and_reconcilers_gives_no_wrong_answer(
    machine: Machine,
    make_package: Callable[..., Package],
    release_of: Callable[[Package], Artifact],
    clients: Callable[[set[str]], list[Client]],
    wait: Callable[..., float],
    seconds: int,
) -> None:
    good = [release_of(make_package(name)) for name in ("soft", "sharp")]
    bad = release_of(make_package("brittle"))
    for release in good:
        machine.approve(release)
    machine.start()
    machine.want(good[0])
    machine.wait_served(good[0])
    asking = clients({release.digest for release in good})
    chance, until, turn = random.Random(7), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        time.sleep(chance.uniform(3, 8))
        turn += 1
        if chance.random() < 0.3:
            machine.stop(signal.SIGKILL)
            machine.start()
        elif servers := machine.servers():
            os.kill(chance.choice(servers).pid, signal.SIGKILL)
        machine.want([good[0], bad, good[1]][turn % 3])
    machine.want(good[turn % 2])
    machine.wait_served(good[turn % 2], seconds=120)
    clients.stop()  # type: ignore[attr-defined]
    seen = sum((client.seen for client in asking), Counter())
    print(f"{turn} kills: {dict(seen)}")
    assert [wrong for client in asking for wrong in client.wrong] == []
    assert seen[200] > seconds

    noted = [name for client in asking for name in client.predictions]
    scoring = Scoring(machine.database)
    time.sleep(3)  # the last segment is written and shipped
    stored = [row.id for row in scoring.predictions("shapes", limit=10 * len(noted))]
    print(f"{len(noted)} answers, {len(stored)} stored; killed servers took {len(set(noted) - set(stored))} with them")
    assert len(stored) == len(set(stored))
    assert len(set(noted) - set(stored)) <= turn * seen[200] / seconds  # a second of what was in memory at each kill
