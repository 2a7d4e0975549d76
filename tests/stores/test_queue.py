"""The promotion queue: every approved manifest is worked on by exactly one run."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from airlock.stores.database import Database
from airlock.stores.queue import Item, PromotionQueue


@pytest.fixture
def queue(database: Database) -> PromotionQueue:
    return PromotionQueue(database)


def test_a_decision_queues_its_manifest_once(queue: PromotionQueue) -> None:
    assert queue.put("digits/model", "m", "decision-1")
    assert not queue.put("digits/model", "m", "decision-1")
    assert queue.put("digits/model", "m", "decision-2")
    assert queue.put("digits/deployment", "m", "decision-1")
    assert [item.decision for item in queue.waiting("digits/model")] == ["decision-1", "decision-2"]


def test_items_are_taken_in_the_order_they_were_put(queue: PromotionQueue) -> None:
    for number in range(3):
        queue.put("q", f"m{number}", "d")
    taken = [queue.claim("q", "dag", f"run-{number}") for number in range(4)]
    assert [item and item.manifest for item in taken] == ["m0", "m1", "m2", None]


def test_a_run_that_asks_again_gets_its_item_again(queue: PromotionQueue) -> None:
    queue.put("q", "m0", "d")
    queue.put("q", "m1", "d")
    first = queue.claim("q", "dag", "run")
    assert first is not None
    assert queue.claim("q", "dag", "run") == first == queue.of_run("dag", "run")
    queue.finish("dag", "run", "deployed")
    again = queue.claim("q", "dag", "run")
    assert again is not None
    assert (again.id, again.outcome) == (first.id, "deployed")
    assert [item.manifest for item in queue.waiting("q")] == ["m1"]


def test_runs_at_the_same_moment_share_nothing_and_lose_nothing(queue: PromotionQueue) -> None:
    for number in range(20):
        queue.put("q", f"m{number}", "d")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: queue.claim("q", "dag", f"run-{number}"), range(24)))
    manifests = [item.manifest for item in taken if item]
    assert sorted(manifests) == sorted(f"m{number}" for number in range(20))


def test_a_run_that_asks_twice_at_the_same_moment_has_one_item(queue: PromotionQueue) -> None:
    for number in range(8):
        queue.put("q", f"m{number}", "d")
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: queue.claim("q", "dag", "run"), range(8)))
    assert {item.id for item in taken if item} == {taken[0].id if taken[0] else None}
    assert len(queue.waiting("q")) == 7


def claimed(queue: PromotionQueue, manifest: str, run: str) -> Item:
    queue.put("q", manifest, "d")
    item = queue.claim("q", "dag", run)
    assert item is not None
    return item


class TestGivenBack:
    def test_it_is_the_next_one(self, queue: PromotionQueue) -> None:
        first = claimed(queue, "m0", "one")
        queue.put("q", "m1", "d")
        assert queue.give_back(first) == "waiting"
        again = queue.claim("q", "dag", "two")
        assert again is not None
        assert (again.id, again.manifest) == (first.id, "m0")

    def test_it_is_superseded_when_something_newer_was_deployed(self, queue: PromotionQueue) -> None:
        first = claimed(queue, "m0", "one")
        claimed(queue, "m1", "two")
        queue.finish("dag", "two", "deployed")
        assert queue.give_back(first) == "finished"
        assert queue.waiting("q") == queue.claimed("q") == []

    def test_only_by_whoever_still_has_it(self, queue: PromotionQueue) -> None:
        first = claimed(queue, "m0", "one")
        queue.take_over("q", ("dag", "one"), "dag", "rework")
        assert queue.give_back(first) == ""
        assert [item.run for item in queue.claimed("q")] == ["rework"]


def test_a_run_is_overtaken_by_the_newest_that_waits(queue: PromotionQueue) -> None:
    claimed(queue, "m0", "one")
    assert queue.overtaken() == {}
    queue.put("q", "m0", "approved again")
    assert queue.overtaken() == {}, "the same manifest is not newer"
    for manifest in ("m1", "m2"):
        queue.put("q", manifest, "d")
    queue.put("elsewhere", "m3", "d")
    assert {run: item.manifest for run, item in queue.overtaken().items()} == {("dag", "one"): "m2"}
    queue.finish("dag", "one", "rejected")
    assert queue.overtaken() == {}


def test_a_revision_takes_the_place_of_what_waits_and_of_nothing_else(queue: PromotionQueue) -> None:
    queue.put("q", "original", "d1")
    queue.claim("q", "dag", "run")
    queue.put("q", "original", "d2")
    queue.put("q", "other", "d3")
    queue.put("elsewhere", "original", "d2")
    for _ in range(2):
        queue.put("q", "revision", "d4", revises="original")
    assert [item.manifest for item in queue.waiting("q")] == ["other", "revision"]
    assert [item.decision for item in queue.claimed("q")] == ["d1"], "whoever works on it is left alone"
    assert [item.manifest for item in queue.waiting("elsewhere")] == ["original"]
