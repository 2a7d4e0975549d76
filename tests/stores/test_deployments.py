"""Deployments: the newest wish counts, the champion is what last became ready."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg2
import pytest

from airlock.errors import UserError
from airlock.stores.database import Database
from airlock.stores.deployments import Deployments


@pytest.fixture
def deployments(database: Database) -> Deployments:
    return Deployments(database)


def test_the_same_wish_again_is_the_same_generation(deployments: Deployments) -> None:
    first = deployments.want("digits", "local", "m1", "d1")
    assert deployments.want("digits", "local", "m1", "d1") == first
    second = deployments.want("digits", "local", "m2", "d2")
    assert deployments.want("digits", "local", "m1", "d1") > second > first


def test_a_target_sees_the_newest_wish_of_every_use_case(deployments: Deployments) -> None:
    deployments.want("digits", "local", "m1", "d")
    deployments.want("digits", "local", "m2", "d")
    deployments.want("fashion", "local", "f1", "d")
    deployments.want("fashion", "edge", "f2", "d")
    assert [(item.use_case, item.manifest) for item in deployments.wanted("local")] == [
        ("digits", "m2"),
        ("fashion", "f1"),
    ]


def test_the_champion_stays_until_another_was_ready(deployments: Deployments) -> None:
    first = deployments.want("digits", "local", "m1", "d")
    assert deployments.champion("digits") is None
    deployments.observe("digits", "local", first, "ready", "http://127.0.0.1:1/digits")
    second = deployments.want("digits", "local", "m2", "d")
    deployments.observe("digits", "local", second, "failed", detail="the model does not load")
    champion, observed = deployments.champion("digits"), deployments.observed("digits", "local")
    assert champion is not None
    assert observed is not None
    assert (champion.manifest, champion.endpoint) == ("m1", "http://127.0.0.1:1/digits")
    assert (observed.manifest, observed.state, observed.detail) == ("m2", "failed", "the model does not load")
    deployments.observe("digits", "local", second, "ready", "http://127.0.0.1:1/digits")
    champion = deployments.champion("digits")
    assert champion is not None
    assert champion.manifest == "m2"


def test_an_observation_of_another_target_is_not_taken(deployments: Deployments) -> None:
    generation = deployments.want("digits", "local", "m1", "d")
    deployments.observe("digits", "edge", generation, "ready", "http://elsewhere")
    observed = deployments.observed("digits", "local")
    assert observed is not None
    assert observed.state == ""
    assert deployments.observed("digits", "edge") is None


def test_a_wish_cannot_be_rewritten_by_the_application_role(deployments: Deployments) -> None:
    deployments.want("digits", "local", "m1", "d")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), deployments.database.transaction() as cursor:
        cursor.execute("UPDATE airlock.deployment SET manifest = 'm2'")


class TestNeverBackwards:
    def test_an_older_item_does_not_replace_a_newer_one(self, deployments: Deployments) -> None:
        deployments.want("digits", "local", "sha256:" + "b" * 64, "d", position=2)
        with pytest.raises(UserError, match=r"item 1 .*bbbbbbbbbbbb from the newer item 2.*on purpose") as refused:
            deployments.want("digits", "local", "sha256:" + "a" * 64, "d", position=1)
        assert "names its candidate" in refused.value.hint
        assert [item.manifest[7] for item in deployments.wanted("local")] == ["b"]

    def test_going_back_on_purpose_is_possible_and_changes_nothing_for_older_items(
        self, deployments: Deployments
    ) -> None:
        deployments.want("digits", "local", "m2", "d", position=2)
        deployments.want("digits", "local", "m0", "d")
        with pytest.raises(UserError, match="never go backwards"):
            deployments.want("digits", "local", "m1", "d", position=1)
        deployments.want("digits", "local", "m2", "d", position=2)
        deployments.want("digits", "local", "m3", "d", position=3)
        deployments.want("fashion", "local", "f1", "d", position=1)
        assert [item.manifest for item in deployments.wanted("local")] == ["m3", "f1"]

    def test_of_two_at_the_same_moment_the_newer_stays(self, deployments: Deployments) -> None:
        def want(position: int) -> None:
            with suppress(UserError):
                deployments.want("digits", "local", f"m{position}", "d", position=position)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(want, range(16)))
        assert [item.manifest for item in deployments.wanted("local")] == ["m15"]
