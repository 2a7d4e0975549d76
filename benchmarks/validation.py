"""What validation costs: expectations against bare Great Expectations, and near duplicates among many images."""

import argparse
import gc
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import msgspec
import numpy as np
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from near_duplicates import measure
from reporting import report, show

from airlock.data.suites import Suite, decode_suite
from airlock.data.validation import validate

ROUNDS = 5
CLASSES = ["business", "entertainment", "politics", "sport", "tech"]
WITH_IDS = {"result_format": "COMPLETE", "unexpected_index_column_names": ["sample_id"]}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args()
    good = frame(options.rows)
    compare("good_data", good, suite(), None)
    bad = good.copy()
    bad.loc[bad.index[:: max(len(bad) // 1000, 1)], "width"] = 5000
    compare("bad_data_with_ids", bad, suite(), WITH_IDS)
    del good, bad
    found = measure(options.images)
    print(f"near duplicates: {found.images} images in {found.seconds:.1f} s, {found.pairs} pairs", flush=True)
    report("near_duplicate_minutes", found.seconds / 60, 10)
    report("near_duplicate_precision", found.precision, 0.99, at_most=False)
    report("near_duplicate_recall", found.recall, 0.95, at_most=False)


def compare(name: str, data: pd.DataFrame, expected: Suite, result_format: Any) -> None:
    """Take turns, so that whatever else the machine does hits both alike; the first round does not count."""
    ways: dict[str, Callable[[], None]] = {
        "airlock": lambda: ours(data, expected),
        "bare": lambda: bare(data, expected, result_format),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way, run in ways.items():
            gc.collect()
            started = time.perf_counter()
            run()
            if number:
                times[way].append(time.perf_counter() - started)
    medians = {way: show(f"{name} {way}", seconds) for way, seconds in times.items()}
    report(f"validation_over_bare_{name}", medians["airlock"] / medians["bare"], 1.1)


def ours(data: pd.DataFrame, expected: Suite) -> None:
    """Validate as the step does."""
    assert len(validate(data, expected).checks) == len(expected.expectations)


def bare(data: pd.DataFrame, expected: Suite, result_format: Any) -> None:
    """Validate with nothing but Great Expectations, in its default result format unless another is given."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("samples").add_dataframe_asset("samples")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": data})
    listed = [{"type": item.type, "kwargs": item.kwargs} for item in expected.expectations]
    given = {"result_format": result_format} if result_format else {}
    found = batch.validate(gx.ExpectationSuite(name="bare", expectations=listed), **given)
    assert len(found.results) == len(listed)


def frame(rows: int) -> pd.DataFrame:
    """Return metadata as ``metadata_frame`` does."""
    random = np.random.default_rng(1)
    ids = random.bytes(32 * rows).hex()
    return pd.DataFrame(
        {
            "sample_id": pd.Series([ids[start : start + 64] for start in range(0, 64 * rows, 64)], dtype=object),
            "label": pd.Series(random.choice(CLASSES, rows), dtype=object),
            "width": random.integers(8, 512, rows).astype(np.int32),
            "height": random.integers(8, 512, rows).astype(np.int32),
            "mode": pd.Series(["L"] * rows, dtype=object),
            "mean": random.normal(127, 20, rows),
        }
    )


def suite() -> Suite:
    """Return seven expectations as use cases have them."""
    types: list[tuple[str, dict[str, Any]]] = [
        ("expect_table_row_count_to_be_between", {"min_value": 1}),
        ("expect_column_values_to_be_unique", {"column": "sample_id"}),
        ("expect_column_values_to_match_regex", {"column": "sample_id", "regex": "^[0-9a-f]{64}$"}),
        ("expect_column_values_to_not_be_null", {"column": "label"}),
        ("expect_column_values_to_be_in_set", {"column": "label", "value_set": CLASSES}),
        ("expect_column_values_to_be_between", {"column": "width", "min_value": 1, "max_value": 4096}),
        ("expect_column_mean_to_be_between", {"column": "mean", "min_value": 100, "max_value": 150}),
    ]
    listed = [{"type": kind, "kwargs": kwargs, "meta": {}, "severity": "critical"} for kind, kwargs in types]
    return decode_suite(msgspec.json.encode({"name": "benchmark", "expectations": listed}))


if __name__ == "__main__":
    main()
