"""Successors of what serves: a good one that a canary promotes, and a slow one that it rolls back."""

import json
from typing import Any

import msgspec
import pytest

from airlock.demo.serving import Served, ask_served
from airlock.errors import UserError
from airlock.stores.database import open_database
from airlock.stores.layers import open_layers
from airlock.stores.ledger import Ledger
from tests.integration.conftest import Stack
from tests.integration.lifecycle import Journey

SLOW = b"""
import time


def postprocess(outputs):
    time.sleep(0.06)
    return {}
"""
"""A postprocessing that changes nothing and takes its time."""


def records(stack: Stack, kind: str, use_case: str = "digits") -> list[dict[str, Any]]:
    """What the ledger says of one use case, in its order: other tests work on the same stack."""
    ledger = Ledger(open_database(stack.settings.database))
    return [record.body for record in ledger.records() if (record.kind, record.use_case) == (kind, use_case)]


def promoted(journey: Journey, change: str, use_case: str = "digits", role: str = "data_scientist") -> None:
    """Fork a training, and see its model take over after 5, 25 and 100 %."""
    before, dag = ask_served(use_case, journey.stack.settings).manifest, f"{use_case}_model"
    run = journey.runs[dag]
    journey.fork(dag, change, role)
    _differs_by(change, journey.airlock("run", "diff", f"{dag}/{run}", f"{dag}/{journey.runs[dag]}", "--json"))
    after = ask_served(use_case, journey.stack.settings).manifest
    assert after != before
    rollouts = [body for body in records(journey.stack, "rollout", use_case) if body["manifest"] == after]
    assert [body["share"] for body in rollouts if "share" in body] == [0.05, 0.25, 1.0]


def _differs_by(change: str, said: str) -> None:
    """Two runs, side by side: of the training's arguments and all code only this one is another."""
    found = json.loads(said)
    path, _, value = change.removeprefix("train.").partition("=")
    assert [
        (each["name"], each["after"])
        for each in found
        if each["section"] == "code" or (each["section"] == "parameters" and each["name"].startswith("train: "))
    ] == [(f"train: {path}", value)]
    assert {each["section"] for each in found} >= {"parameters", "data", "metrics"}


def rolled_back(journey: Journey, use_case: str = "digits") -> Served:
    """Fork a deployment of what answers as well and takes its time, and see it fail; return what served before.

    Nothing before the canary asks it for speed.
    """
    settings = journey.stack.settings
    before = ask_served(use_case, settings)
    slow = msgspec.json.encode(open_layers(settings).put(SLOW, "text/x-python")).decode()
    with pytest.raises(UserError, match=rf"{use_case}_deployment failed at canary.*rolled back at .* ms against"):
        journey.fork(f"{use_case}_deployment", f"package.postprocessing={slow}")
    (back,) = records(journey.stack, "rollback", use_case)
    assert (back["manifest"], back["from"] != before.manifest) == (before.manifest, True)
    return before
