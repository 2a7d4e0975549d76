"""A canary on real servers behind the real gateway: promoted when it is as good, rolled back by itself if not."""

import getpass
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from airlock import settings as settings_module
from airlock.deployment.canary import Canary, Outcome, RolledBack
from airlock.deployment.client import ModelClient
from airlock.deployment.figures import read_figures
from airlock.deployment.going_back import choose, go_back
from airlock.deployment.package import Package
from airlock.deployment.plan import Plan, read_plan
from airlock.deployment.readback import shadow_answers
from airlock.deployment.rollout import Rollout, roll_out
from airlock.digests import short
from airlock.errors import AirlockError, InfrastructureError, UserError
from airlock.governance.book import Book
from airlock.references import Artifact
from airlock.stores.ledger import Ledger, Record
from tests.commands.conftest import airlock
from tests.deployment.conftest import TRANSFORM
from tests.deployment.serving_machine import Machine

__all__ = ["airlock"]

pytestmark = pytest.mark.integration
PLAN = Plan(shares=[0.25, 1.0], requests=24, seconds=0.5, patience=30)
# Pictures of 16 x 16 come from people only: the samples that a server checks when it starts have 8 x 8.
ON_PEOPLE = "    if image.width == 16:\n        {}\n"
SLOW, FAILING, DYING = "__import__('time').sleep(0.3)", "raise ValueError('16')", "__import__('os')._exit(9)"


class Site:
    """A machine on which a champion serves, and people who ask it."""

    def __init__(self, machine: Machine, release_of: Callable[[Package], Artifact], champion: Package,
                 png: Callable[..., bytes]) -> None:  # fmt: skip
        self.machine = machine
        self.release_of = release_of
        self.endpoint = f"{machine.settings.serving}/shapes"
        self.png = png
        self.ledger = Ledger(machine.database)
        self.failed: list[str] = []
        self.champion = release_of(champion)
        self.decision = machine.approve(self.champion)
        machine.deployments.want("shapes", "local", self.champion.digest, self.decision, position=1)
        machine.start()
        machine.wait_served(self.champion)
        machine.wait_state("ready")

    def candidate(self, package: Package, position: int | None = 2) -> Rollout:
        """An approved release."""
        release = self.release_of(package)
        decision = self.machine.approve(release)
        return Rollout(
            use_case="shapes",
            manifest=release.digest,
            decision=decision,
            endpoint=self.endpoint,
            position=position,
        )

    def canary(self, rollout: Rollout, plan: Plan = PLAN) -> Canary:
        return Canary(rollout, plan, self.machine.deployments, self.ledger, lambda: self.ask(20), lambda *_: None)

    def ask(self, number: int, *labels: str) -> None:
        """Some requests, one after another."""
        with ModelClient(self.endpoint) as client:
            for at in range(number):
                try:
                    client.predict(self.png((labels or ("left", "right", "top"))[at % len(labels or "123")], size=16))
                except AirlockError as error:
                    self.failed.append(str(error))

    @contextmanager
    def asked(self) -> Iterator[None]:
        """People ask all the time."""
        stop = threading.Event()

        def go_on() -> None:
            while not stop.wait(0.02):
                self.ask(3)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(go_on)
            try:
                yield
            finally:
                stop.set()

    def records(self, kind: str) -> list[Record]:
        return [record for record in self.ledger.records() if record.kind == kind]


@pytest.fixture
def site(
    machine: Machine,
    release_of: Callable[[Package], Artifact],
    make_package: Callable[..., Package],
    png: Callable[..., bytes],
) -> Site:
    return Site(machine, release_of, make_package("soft"), png)


@pytest.fixture(scope="session")
def spoilt(make_package: Callable[..., Package]) -> Callable[[str], Package]:
    """Give ``spoilt(statement)``: a package whose preprocessing executes it for what people send."""

    def make(statement: str) -> Package:
        head = "    return np.asarray"
        assert head in TRANSFORM.decode()
        changed = TRANSFORM.decode().replace(head, ON_PEOPLE.format(statement) + head)
        return make_package("sharp", transform=changed.encode())

    return make


class TestAGoodCanary:
    def test_answers_growing_shares_and_is_promoted_where_it_runs_without_a_failed_request(
        self, site: Site, make_package: Callable[..., Package]
    ) -> None:
        rollout = site.candidate(make_package("sharp"))
        with site.asked():
            outcome = site.canary(rollout).run()
            steps = [(record.body["event"], record.body["share"]) for record in site.records("rollout")]
            assert steps == [("share", 0.25), ("share", 1.0)]
            assert outcome.figures["canary"]["requests"] >= 48
            assert outcome.figures["canary"]["errors"] == 0
            assert site.machine.observed().generation == outcome.generation

            before = {process.pid for process in site.machine.servers()}
            want = site.machine.deployments.want
            want("shapes", "local", rollout.manifest, rollout.decision, 2, expected=outcome.generation)
            site.machine.wait(lambda: len(site.machine.servers()) == 1, seconds=15, what="the old server is gone")
        assert site.failed == []
        assert {process.pid for process in site.machine.servers()} < before
        assert site.machine.serves() == rollout.manifest

    def test_gets_its_share_exactly_whatever_the_rhythm_of_the_requests(
        self, site: Site, make_package: Callable[..., Package]
    ) -> None:
        rollout = site.candidate(make_package("sharp"))
        canary = site.canary(rollout)
        canary._at = site.machine.observed()
        canary._split(0.25)
        site.ask(200, "left", "right", "top", "top")
        found = read_figures(site.endpoint, "canary", rollout.manifest)
        assert abs(found.requests - 50) <= 2
        assert min(found.answers.get(label, 0) for label in ("left", "right")) >= 8
        assert read_figures(site.endpoint, "stable", site.champion.digest).requests == 200 - found.requests
        sessions = {name: {self._asked(site, name) for _ in range(4)} for name in map(str, range(12))}
        assert all(len(answered) == 1 for answered in sessions.values())
        assert len({answered.pop() for answered in sessions.values()}) == 2

    @staticmethod
    def _asked(site: Site, session: str) -> str:
        with ModelClient(site.endpoint) as client:
            client.http.headers["X-Airlock-Session"] = session
            return client.predict(site.png("left")).manifest

    def test_that_nobody_asks_waits_or_gets_the_samples(self, site: Site, make_package: Callable[..., Package]) -> None:
        rollout = site.candidate(make_package("sharp"))
        elsewhere = msgspec.structs.replace(rollout, target="staging")
        assert site.canary(elsewhere).run() == Outcome(generation=None), "Nothing serves there: no canary is needed."
        impatient = msgspec.structs.replace(PLAN, patience=1.0)
        with pytest.raises(InfrastructureError, match=r"0 of 24 predictions came to canary at 25% in \d+ s; it stays"):
            site.canary(rollout, impatient).run()
        assert site.machine.observed().share == 0.25
        outcome = site.canary(rollout, msgspec.structs.replace(impatient, synthetic=True)).run()
        assert outcome.figures["canary"]["requests"] >= 48
        assert [record.body["share"] for record in site.records("rollout")] == [0.25, 1.0], "Each share once."


class TestABadCanary:
    def test_is_rolled_back_by_itself_whatever_is_wrong_with_it(
        self, site: Site, make_package: Callable[..., Package], spoilt: Callable[[str], Package]
    ) -> None:
        """Slow, failing, dying, answering otherwise: one machine for all four, because servers are slow to start."""
        slow = self._back(site, spoilt(SLOW))
        assert " ms against " in slow["reason"]
        assert slow["figures"]["canary"]["p50_ms"] > 2 * slow["figures"]["champion"]["p50_ms"]

        failing = self._back(site, spoilt(FAILING))
        assert failing["reason"].startswith("100.0% errors against 0.0%")
        low, high = failing["figures"]["canary"]["error_rate_95"]
        assert low < high == 1.0, "What 8 requests tell is an interval."

        dying = self._back(site, spoilt(DYING))
        assert "ended" in dying["reason"] or "errors" in dying["reason"]

        otherwise = self._back(site, make_package("stuck"))
        assert otherwise["reason"].startswith("other labels are predicted")
        assert set(otherwise["figures"]["canary"]["answers"]) != set(otherwise["figures"]["champion"]["answers"])

    @staticmethod
    def _back(site: Site, package: Package) -> dict[str, Any]:
        """Roll it out, which must fail; return the record of it."""
        rollout = site.candidate(package)
        with site.asked(), pytest.raises(RolledBack) as raised:
            site.canary(rollout).run()
        assert "serves alone again" in raised.value.message
        assert site.machine.serves() == site.champion.digest
        told = site.records("rollback")[-1].body
        assert (told["manifest"], told["from"], told["by"]) == (site.champion.digest, rollout.manifest, "airlock")
        assert told["at"] == 0.25
        assert Book.open(site.ledger, site.machine.settings.public_keys).last_served("shapes") == told["manifest"]
        site.machine.wait(lambda: len(site.machine.servers()) == 1, seconds=15, what="its server is gone")
        return told

    def test_that_does_not_even_start_or_that_nobody_approved(
        self, site: Site, make_package: Callable[..., Package]
    ) -> None:
        soft, sharp = make_package("soft"), make_package("sharp")
        broken = Package(soft.files | {"model.tflite": sharp.files["model.tflite"]})
        with pytest.raises(RolledBack, match="samples differ"):
            site.canary(site.candidate(broken)).run()
        assert site.machine.serves() == site.champion.digest
        assert len(site.records("rollback")) == 1
        release = site.release_of(make_package("sharp"))
        rollout = Rollout(use_case="shapes", manifest=release.digest, decision="", endpoint=site.endpoint)
        with pytest.raises(RolledBack, match="no decision about"):
            site.canary(rollout).run()
        assert site.machine.serves() == site.champion.digest


class TestTwoAtOnce:
    def test_one_is_told_unless_it_is_newer_then_the_other_is(
        self, site: Site, make_package: Callable[..., Package]
    ) -> None:
        older, newer = site.candidate(make_package("sharp"), 2), site.candidate(make_package("stuck"), 3)
        first = site.canary(older)
        first._at = site.machine.observed()
        first._split(0.25)
        with pytest.raises(UserError, match=r"is on its way at local now, with 25% .*airlock rollback shapes"):
            site.canary(msgspec.structs.replace(newer, position=None)).run()
        second = site.canary(newer)
        second._at = site.machine.observed()
        second._split(0.25)
        with pytest.raises(UserError, match="Something else was deployed meanwhile"):
            first._count()
        with pytest.raises(UserError, match="Something else was deployed meanwhile"):
            first._split(1.0)
        with pytest.raises(UserError, match="is on its way at local now"):
            site.canary(older).run()
        assert site.machine.observed().canary == newer.manifest


class TestGoingBack:
    def test_on_purpose_is_proved_by_what_answers_then(
        self, site: Site, make_package: Callable[..., Package], airlock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in site.machine.settings.environment().items():
            monkeypatch.setenv(name, value)
        settings_module.settings.cache_clear()
        said = airlock("rollback", "shapes", "-m", "Too early.")
        assert "No other release served shapes at local before" in str(said.exception)

        second = site.candidate(make_package("sharp"))
        roll_out(second, site.machine.deployments, 60, lambda *_: None)
        said = airlock("rollback", "shapes", "--reason", "Wrong on Mondays.").output
        assert f"answers as {short(site.champion.digest)}" in said
        assert "the model registry still names another champion" in said
        (record,) = site.records("rollback")
        assert (record.body["manifest"], record.body["from"]) == (site.champion.digest, second.manifest)
        assert (record.body["by"], record.body["reason"]) == (getpass.getuser(), "Wrong on Mondays.")
        assert site.machine.serves() == site.champion.digest

        again = airlock("rollback", "shapes", "-m", "Once more.")
        assert "No other release" in str(again.exception), "What was given up is gone back to by name only."
        assert "answers as" in airlock("rollback", "shapes", "--to", second.manifest[:20], "-m", "It was right.").output
        site.machine.governed.sign("void", {"use_case": "shapes", "record": site.decision, "reason": "test"})
        refused = airlock("rollback", "shapes", "--to", site.champion.digest, "-m", "Back again.")
        assert "declared void" in str(refused.exception)
        listed = airlock("deployments", "shapes").output.splitlines()
        assert [line.split()[-2] for line in listed] == [
            short(digest) for digest in (second.manifest, site.champion.digest, second.manifest, site.champion.digest)
        ]

    def test_ends_a_canary(self, site: Site, make_package: Callable[..., Package]) -> None:
        rollout = site.candidate(make_package("sharp"))
        canary = site.canary(rollout)
        canary._at = site.machine.observed()
        canary._split(0.25)
        book = Book.open(site.ledger, site.machine.settings.public_keys)
        back = choose(book, site.machine.deployments, "shapes", "local")
        assert (back.left, back.manifest) == (rollout.manifest, site.champion.digest)
        deployment, _ = go_back(back, rollout, site.machine.deployments, site.ledger, {"by": "me"}, lambda *_: None)
        assert (deployment.manifest, deployment.canary) == (site.champion.digest, "")
        with pytest.raises(UserError, match="Something else was deployed meanwhile"):
            canary._count()


class TestAReconcilerThatIsKilled:
    def test_in_the_middle_of_a_canary_goes_on_with_it(self, site: Site, make_package: Callable[..., Package]) -> None:
        rollout = site.candidate(make_package("sharp"))
        with ThreadPoolExecutor(1) as pool, site.asked():
            plan = msgspec.structs.replace(PLAN, requests=60, seconds=3.0)
            ends = pool.submit(site.canary(rollout, plan).run)
            site.machine.wait(lambda: len(site.machine.servers()) == 2, seconds=30, what="both serve")
            time.sleep(1)
            site.machine.stop(signal.SIGKILL)
            site.machine.start()
            outcome = ends.result(90)
        assert outcome.generation == site.machine.observed().generation
        assert [record.body["share"] for record in site.records("rollout")] == [0.25, 1.0]


class TestAShadow:
    def test_is_asked_and_compared_and_answers_nobody(self, site: Site, make_package: Callable[..., Package]) -> None:
        rollout = site.candidate(make_package("stuck"))
        plan = msgspec.structs.replace(PLAN, shadow=20, min_agreement=0.9)
        before = shadow_answers(rollout)
        with site.asked(), pytest.raises(RolledBack, match="agreement in shadow"):
            site.canary(rollout, plan).run()
        (record,) = site.records("rollback")
        compared = record.body["figures"]["shadow"]
        assert compared["answers"] >= 20
        assert compared["seconds"] > 0
        assert before.answers == 0
        answered = read_figures(site.endpoint, "stable", site.champion.digest).answers
        assert set(answered) <= {"left", "right", "top"}
        assert [record.body["event"] for record in site.records("rollout")] == ["shadow"]


class TestAPlan:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"shares": []}, "`shares` must rise"),
            ({"shares": [0.5, 0.2]}, "`shares` must rise"),
            ({"shares": [0.5, 1.5]}, "`shares` must rise"),
            ({"requests": 0}, "`requests` is not above 0"),
            ({"risk": 1.0}, "`risk` is not between"),
            ({"share": 1}, "unknown field `share`"),
        ],
    )
    def test_that_cannot_be(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            read_plan(fields)
