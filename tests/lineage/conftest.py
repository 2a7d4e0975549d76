"""The digits through the data pipeline's steps, approved and deployed: something to have a lineage."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from click.testing import Result as Said
from typer.testing import CliRunner

from airlock.cli import app
from airlock.commands.output import plain
from airlock.references import Artifact
from airlock.settings import settings
from airlock.steps.contract import RunInfo, Spec
from airlock.steps.runner import run_spec
from airlock.stores.artifacts import open_artifacts
from airlock.stores.ledger import Ledger
from tests.governed import Governed, governed, home

__all__ = ["governed", "home"]
CLASSES = [str(number) for number in range(10)]
TRANSFORM = "import numpy as np\ndef transform(image):\n    return np.asarray(image)[..., None]\n"
NUMBERS = itertools.count(1)


def step(name: str, run: str = "run_1", **inputs: Any) -> dict[str, Any]:
    """Run a step as its operator would have it run; return its outputs."""
    info = RunInfo(dag="digits_data", run=run, task=name, attempt=next(NUMBERS))
    spec = Spec(step=name, inputs=inputs, run=info, result=f"results/{info.path}.json")
    open_artifacts(settings().artifacts).replace_document(f"specs/{info.path}.json", msgspec.json.encode(spec))
    result = run_spec(spec, settings())
    assert result.failure is None, result.failure
    return result.outputs


class Made:
    """What the steps made, and the ledger's records about it."""

    def __init__(self, governed: Governed) -> None:
        self.ingested = step("ingest", source={"kind": "sklearn", "location": "digits"}, limit=200)
        cleaners = [{"name": "decode_image", "mode": "L", "min_side": 8, "max_side": 8}]
        self.cleaned = step("clean", samples=self.ingested["samples"], classes=CLASSES, cleaners=cleaners)
        self.version = step("version", samples=self.cleaned["samples"], dataset="digits")
        self.both = {name: self.version[name] for name in ("dataset", "labels")}
        fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
        self.divided = step("split", **self.both, fractions=fractions)
        files = {"report": self.cleaned["dropped"], "dropped": self.cleaned["dropped"]}
        parted = {name: self.divided[name] for name in ("split", "counts")}
        self.manifest = step("data_manifest", use_case="digits", classes=CLASSES, **self.both, **files, **parted)
        code = msgspec.to_builtins(governed.artifacts.put(TRANSFORM.encode(), "text/plain"))
        self.tensors = step("transform", run="run_2", manifest=self.manifest["manifest"], code=code)
        manifest = msgspec.convert(self.manifest["manifest"], Artifact)
        approval = governed.approve(manifest)
        body = {"use_case": "digits", "target": "local", "manifest": manifest.digest, "decision": approval.hash}
        Ledger(governed.database).append("deployment", body | {"endpoint": "e"})


@pytest.fixture
def made(governed: Governed) -> Made:
    return Made(governed)


@pytest.fixture
def airlock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Give ``airlock(*arguments)``: runs a command here; errors of Airlock are in ``exception``."""
    monkeypatch.setattr(plain, "width", 400)  # where it is imported first may be narrow
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])
