"""Two runs, or two candidates, side by side: what differs in parameters, code, data, environment and metrics."""

from collections.abc import Collection
from typing import Any

import msgspec

from airlock.digests import short
from airlock.governance.manifest import CandidateManifest
from airlock.steps.records import TaskRecord

SECTIONS = ("parameters", "code", "data", "environment", "metrics")
Facts = dict[str, dict[str, str]]
"""Section to name to value, as text."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One fact that is not the same in both.

    :param before: its value in the first; empty where it has none. Likewise ``after``.
    """

    section: str
    name: str
    before: str
    after: str


def aside(*runs: dict[str, TaskRecord]) -> set[str]:
    """Return the tasks that did nothing in one of the runs: there is nothing to compare them by."""
    return {task for tasks in runs for task, record in tasks.items() if record.stood_aside}


def facts_of_run(tasks: dict[str, TaskRecord], without: Collection[str] = ()) -> Facts:
    """Return what a run's steps were given and what came of them.

    :param without: tasks that are left out.
    """
    facts: Facts = {section: {} for section in SECTIONS}
    for task, record in tasks.items():
        if task in without:
            continue
        facts["code"][f"{task}: airlock"] = short(record.key.source)
        for name, value in record.key.environment.items():
            facts["environment"][f"{task}: {name}"] = value
        for name, number in record.result.metrics.items():
            facts["metrics"][f"{task}: {name}"] = f"{number:.6g}"
        for name, value in record.key.inputs.items():
            _add(facts, f"{task}: {name}", value)
    return facts


def facts_of_candidate(manifest: CandidateManifest) -> Facts:
    """Return what a candidate's manifest says."""
    facts: Facts = {section: {} for section in SECTIONS}
    plain = msgspec.to_builtins(manifest)
    for name in ("parameters", "transform_parameters", "seed", "classes", "parents", "revises"):
        _add(facts, name, plain[name])
    for name in ("transform_code", "network_code"):
        facts["code"][name] = short(plain[name]["digest"])
    facts["code"] |= {name: short(value) if value else "" for name, value in manifest.code.items()}
    facts["code"] |= {f"airlock: {step}": short(digest) for step, digest in manifest.sources.items()}
    for name in ("dataset", "labels", "tensors"):
        _add(facts, name, plain[name])
    facts["environment"] |= manifest.environment
    facts["metrics"] |= {name: f"{value:.6g}" for name, value in manifest.metrics.items()}
    return facts


def differences(before: Facts, after: Facts) -> list[Difference]:
    """Return what differs, section by section, by name."""
    return [
        Difference(section=section, name=name, before=before[section].get(name, ""), after=after[section].get(name, ""))
        for section in SECTIONS
        for name in sorted(before[section].keys() | after[section].keys())
        if before[section].get(name) != after[section].get(name)
    ]


def _add(facts: Facts, name: str, value: Any) -> None:
    """Sort a value in: code files are code, other references data, everything else parameters, leaf by leaf."""
    if isinstance(value, dict) and "ref" in value:
        section = "code" if name.endswith("code") else "data"
        facts[section][name] = _reference(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _add(facts, f"{name}.{key}", item)
    elif value not in (None, "", [], ()):
        facts["parameters"][name] = str(value)


def _reference(value: dict[str, Any]) -> str:
    if value["ref"] == "dataset":
        return f"{value['name']} v{value['version']} {short(value['digest'])}"
    return short(value["digest"]) if "digest" in value else " ".join(str(item) for item in value.values())
