"""The step cache: what was already computed, used only after it was found and verified.

key = digest of (step, source digest, canonical inputs, declared environment). Entries are documents
``cache/KEY/N.json``, numbered because a document is never overwritten: when the outputs of entry N turn out
missing or altered, the step runs again and writes N + 1.
"""

import platform
from typing import Any

import msgspec

from airlock.digests import digest_document
from airlock.errors import AirlockError
from airlock.steps.contract import Result, Spec
from airlock.steps.registry import load_step
from airlock.steps.source import source_digest
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.verification import Verifier


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """The parts a cache key is made of, each a digest or small document so that a miss can say which changed."""

    step: str
    source: str
    inputs: dict[str, Any]
    environment: dict[str, str]

    @property
    def digest(self) -> str:
        return digest_document(msgspec.to_builtins(self)).removeprefix("sha256:")


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache says: a verified result, or the reason why the step must run."""

    key: Key
    result: Result | None
    reason: str


def environment(step: str) -> dict[str, str]:
    """Return the versions of Python and of the packages a step declares in ``ENVIRONMENT``; ``none`` of one that is not
    installed."""
    declared = load_step(step).ENVIRONMENT
    if not declared:
        return {"python": platform.python_version()}
    from importlib.metadata import PackageNotFoundError, version  # 20 ms that a step without packages does not pay

    found = {"python": platform.python_version()}
    for name in declared:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def installed() -> str:
    """Return every package there is, ``name==version`` a line: the environment to make again."""
    from importlib.metadata import distributions

    found = {f"{each.name.lower()}=={each.version}" for each in distributions() if each.name}
    return "\n".join([f"# python {platform.python_version()}", *sorted(found)]) + "\n"


def key_of(spec: Spec) -> Key:
    """Return the cache key of a spec: the run that asks is no part of it."""
    return Key(step=spec.step, source=source_digest(spec.step), inputs=spec.inputs, environment=environment(spec.step))


class StepCache:
    """Results by key, in the artifact store.

    :param verifier: checks every reference a cached result names.
    """

    def __init__(self, artifacts: ArtifactStore, verifier: Verifier) -> None:
        self.artifacts = artifacts
        self.verifier = verifier

    def look_up(self, spec: Spec) -> Lookup:
        """Return a verified hit, or say which part of the key changed since this task last ran."""
        key = key_of(spec)
        entries = list(self.artifacts.documents(f"cache/{key.digest}"))
        if not entries:
            return Lookup(key=key, result=None, reason=self._changed(spec, key))
        result = msgspec.json.decode(self.artifacts.document(entries[-1]) or b"", type=Result)
        try:
            self.verifier.verify_all(result.outputs)
        except AirlockError as error:
            return Lookup(key=key, result=None, reason=f"its outputs did not verify: {error}")
        return Lookup(key=key, result=result, reason="")

    def record(self, spec: Spec, key: Key, result: Result) -> None:
        """Remember a result, and under the task's name what its key was made of."""
        number = len(list(self.artifacts.documents(f"cache/{key.digest}")))
        self.artifacts.create_document(f"cache/{key.digest}/{number:04}.json", msgspec.json.encode(result))
        self.artifacts.replace_document(_last(spec), msgspec.json.encode(key))

    def _changed(self, spec: Spec, key: Key) -> str:
        document = self.artifacts.document(_last(spec))
        if document is None:
            return "this task has no earlier result"
        before = msgspec.json.decode(document, type=Key)
        parts = [name for name in ("step", "source", "environment") if getattr(before, name) != getattr(key, name)]
        names = sorted(before.inputs.keys() | key.inputs.keys())
        parts += [f"input {name}" for name in names if before.inputs.get(name) != key.inputs.get(name)]
        return f"changed since the last result: {', '.join(parts) or 'nothing, but its entry is gone'}"


def _last(spec: Spec) -> str:
    return f"last/{spec.run.dag}/{spec.run.task}.json"
