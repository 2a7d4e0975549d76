"""Runs declared checks: what goes wrong inside one is an error, never a verdict."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from airlock.data.checks import declaration as declared
from airlock.data.checks.cleaning import same_cleaning
from airlock.data.checks.declaration import AnyCheck
from airlock.data.checks.drift import drift
from airlock.data.checks.duplicates import corrupt_files, exact_duplicates, leakage, near_duplicates
from airlock.data.checks.finding import Finding
from airlock.data.checks.labels import class_balance, label_consensus
from airlock.data.checks.subject import Subject
from airlock.data.validation.verdict import Check
from airlock.model.usercode import Blame

RUN: dict[type, Callable[[Any, Subject], Finding]] = {
    declared.CorruptFiles: corrupt_files,
    declared.ExactDuplicates: exact_duplicates,
    declared.NearDuplicates: near_duplicates,
    declared.Leakage: leakage,
    declared.ClassBalance: class_balance,
    declared.LabelConsensus: label_consensus,
    declared.Drift: drift,
    declared.SameCleaning: same_cleaning,
}
KEPT = 1000


def run_checks(checks: Iterable[AnyCheck], subject: Subject) -> tuple[Check, ...]:
    """Run every check.

    :raises UserError: one cannot be checked, which says nothing about the data.
    """
    return tuple(_run(check, subject) for check in checks)


def _run(check: AnyCheck, subject: Subject) -> Check:
    document = msgspec.to_builtins(check)
    name = str(document.pop("check"))
    with Blame(f"The check {name} could not be made", hint="This says nothing about the data."):
        found = RUN[type(check)](check, subject)
    return Check(
        type=name,
        description=check.notes or found.rule,
        kwargs={key: value for key, value in document.items() if key not in ("severity", "notes")},
        severity=check.severity,
        success=found.success,
        observed=found.observed,
        failing=len(found.sample_ids),
        sample_ids=found.sample_ids,
        figure=found.figure,
        rejects=check.severity == "critical",
        twins=found.twins[:KEPT],
        plots=found.plots,
    )
