"""What operations staff read in a task's history: what went in, what came out, how long, and why it failed."""

from typing import Any

from airlock.digests import PREFIX, short
from airlock.steps.contract import Result, Spec

LONGEST = 60


def headline(result: Result, *, cached: bool) -> str:
    """One line: the step, how it ended and how long it took."""
    seconds = result.ended - result.started
    if result.failure:
        return f"{result.step}: {result.failure.kind} ({result.failure.category}): {result.failure.message}"
    if cached:
        return f"{result.step}: cached, outputs verified (the run that made them took {seconds:.1f} s)"
    return f"{result.step}: {result.status} in {seconds:.1f} s"


def summary(spec: Spec, result: Result) -> str:
    """A short Markdown table of inputs, outputs, metrics and the failure."""
    rows = [("in", name, value) for name, value in spec.inputs.items()]
    rows += [("out", name, value) for name, value in result.outputs.items()]
    rows += [("metric", name, f"{value:.4g}") for name, value in result.metrics.items()]
    lines = ["| | name | value |", "|---|---|---|"]
    lines += [f"| {kind} | {name} | {brief(value)} |" for kind, name, value in rows]
    if result.failure:
        failure = result.failure
        lines += ["", f"**{failure.kind}** ({failure.category}): {failure.message} {failure.hint}"]
    return "\n".join(lines)


def brief(value: Any) -> str:
    """A value in at most 60 characters: references by name or digest, the rest cut."""
    if isinstance(value, dict) and "ref" in value:
        name = value.get("name") or value.get("run_id") or ""
        digest = short(value["digest"]) if "digest" in value else value.get("version", "")
        size = f" {value['size']:,} B" if "size" in value else f" {value['rows']:,} rows" if "rows" in value else ""
        return f"{value['ref']} {name} {digest}{size}".replace("  ", " ")
    text = short(value) if isinstance(value, str) and value.startswith(PREFIX) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
