"""Runs an expectation suite with Great Expectations and keeps apart what it mixes up.

Great Expectations drops expectations of an unknown type from a suite with a log line, and reports an expectation
that raised as an unsuccessful one. Here the first is an error before anything runs, the second an error
afterwards; neither ever counts as good or as bad data.
"""

import os
from typing import TYPE_CHECKING, Any

from airlock.data.suites import Expectation, Suite, check_columns
from airlock.data.validation.verdict import Check, Verdict
from airlock.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Results come back in another order; this key in an expectation's meta says which one a result belongs to.
NUMBER = "airlock_number"
ID = "sample_id"


def validate(frame: "pd.DataFrame", suite: Suite) -> Verdict:
    """Check every expectation on a frame of one row per sample.

    :raises UserError: an expectation is of no known type, has wrong arguments, looks at a missing column, or raises.
    """
    check_columns(suite, frame.columns)
    results = _run(frame, suite)
    if sorted(results) != list(range(len(suite.expectations))):
        raise UserError(
            f"Only {len(results)} of the {len(suite.expectations)} expectations of suite {suite.name!r} were checked.",
            hint="See the log of Great Expectations above.",
        )
    checks = tuple(_check(expectation, results[number]) for number, expectation in enumerate(suite.expectations))
    return Verdict(suite=suite.name, rows=len(frame), checks=checks)


def _run(frame: "pd.DataFrame", suite: Suite) -> dict[int, Any]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when it is imported
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    built = [_build(number, expectation) for number, expectation in enumerate(suite.expectations)]
    asset = context.data_sources.add_pandas("samples").add_dataframe_asset("samples")
    whole = asset.add_batch_definition_whole_dataframe("all")
    batch = whole.get_batch({"dataframe": frame[_needed(frame, suite)]})
    report = batch.validate(gx.ExpectationSuite(name=suite.name, expectations=built), result_format=FORMAT)
    found = report.to_json_dict()["results"]
    return {result["expectation_config"]["meta"][NUMBER]: result for result in found}


def _needed(frame: "pd.DataFrame", suite: Suite) -> list[str]:
    """Return the columns to hand over: Great Expectations hashes every value of each, twice.

    All of them when an expectation is about the table, since what it looks at is not in its arguments.
    """
    others = [expectation for expectation in suite.expectations if expectation.type != COUNT]
    # A row condition may name any column.
    if any(not expectation.columns or "row_condition" in expectation.kwargs for expectation in others):
        return list(frame.columns)
    wanted = {ID, *(column for expectation in suite.expectations for column in expectation.columns)}
    return [column for column in frame.columns if column in wanted]


COUNT = "expect_table_row_count_to_be_between"
FORMAT = {"result_format": "COMPLETE", "unexpected_index_column_names": [ID], "include_unexpected_rows": False}


def _build(number: int, expectation: Expectation) -> Any:
    from great_expectations.exceptions import ExpectationNotFoundError, GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    meta = {**(expectation.meta or {}), NUMBER: number}
    try:
        configuration = ExpectationConfiguration(
            type=expectation.type, kwargs=expectation.kwargs, meta=meta, severity=expectation.severity
        )
        return configuration.to_domain_obj()
    except ExpectationNotFoundError as error:
        raise UserError(f"There is no expectation type {expectation.type!r}.", hint=GALLERY) from error
    except (GreatExpectationsError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{expectation.type} cannot be built from {expectation.kwargs}: {reason}.", hint=GALLERY
        ) from error


GALLERY = "See https://greatexpectations.io/expectations for the types and their arguments."


def _check(expectation: Expectation, result: dict[str, Any]) -> Check:
    if message := _exception(result["exception_info"]):
        raise UserError(
            f"{expectation.description} could not be checked: {message}.",
            hint="This says nothing about the data. Correct the expectation's arguments.",
        )
    found = result["result"]
    ids = dict.fromkeys(item[ID] for item in found.get("unexpected_index_list") or [])
    return Check(
        type=expectation.type,
        description=expectation.description,
        kwargs=expectation.kwargs,
        severity=expectation.severity,
        success=result["success"] is True,
        observed=_observed(found),
        # Expectations about a column's distinct values count values here, not samples.
        failing=found["unexpected_count"] if "element_count" in found else 0,
        sample_ids=tuple(ids),
    )


def _exception(info: dict[str, Any]) -> str:
    """Return the message of an exception: the info is one entry, or one per metric."""
    entries = [info] if "raised_exception" in info else list(info.values())
    raised = [entry["exception_message"] or "an unnamed exception" for entry in entries if entry["raised_exception"]]
    return str(raised[0]).rstrip(".") if raised else ""


def _observed(found: dict[str, Any]) -> str:
    value = found.get("observed_value")
    if value is not None:
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    texts = [_values(found, kind) for kind in ("unexpected", "missing") if f"partial_{kind}_list" in found]
    return "; ".join(text for text in texts if text) or "none unexpected"


def _values(found: dict[str, Any], kind: str) -> str:
    count = found.get(f"{kind}_count")
    values = list(dict.fromkeys(str(value) for value in found[f"partial_{kind}_list"]))
    return f"{count} {kind}: {', '.join(values[:5])}" if count else ""
