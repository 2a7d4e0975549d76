"""What makes this use case: its names, where its data comes from, its figures. Copy the folder, change this file."""

from pathlib import Path
from typing import Any

from airflow.sdk import Asset

from airlock.operators.gate import policies

NAME = "digits"
FOLDER = Path(__file__).parent

# Data
SOURCE = {"kind": "sklearn", "location": "digits"}
CLASSES = [str(digit) for digit in range(10)]
CLEANERS = [{"name": "decode_image", "mode": "L", "min_side": 8, "max_side": 8}]
SPLIT = {"train": 0.70, "validation": 0.15, "test": 0.15}
EXPECTATIONS = str(FOLDER / "expectations.json")
CHECKS: list[dict[str, Any]] = [
    {"check": "corrupt_files"},
    {"check": "exact_duplicates"},
    {"check": "near_duplicates", "max_share": 0.08},
    {"check": "leakage", "by": ["content"]},
    {"check": "class_balance", "classes": CLASSES, "min_count": 50},
    {"check": "drift", "severity": "warning"},
    {"check": "same_cleaning"},
]

# Model
TRANSFORM = str(FOLDER / "transform.py")
NETWORK = str(FOLDER / "network.yaml")
PARAMETERS = {"epochs": 30, "batch_size": 32, "learning_rate": 0.001, "patience": 10}
SEED = 7

# What is tried before: as many combinations, of which the best one goes on after a few epochs
SEARCH: dict[str, Any] = {
    "trials": 3,
    "seed": 7,
    "vary": {"learning_rate": {"low": 5e-4, "high": 4e-3, "log": True}, "dropout": [0.2, 0.3, 0.4]},
    "keep": ["top: 1 by val_loss at 3"],
}
RETRAIN = ""  # when, beside new data, as a cron expression: "0 3 * * 0" for Sunday nights

# Where the model is measured apart, and what it must reach there
SLICES: list[dict[str, Any]] = [
    {"name": "all", "min_accuracy": 0.9, "max_ece": 0.1, "min_count": 100},
    {"name": "against the champion", "max_points_lost": 3.0, "severity": "warning"},
    {"name": "faint", "where": "mean < 70", "min_accuracy": 0.85, "severity": "warning"},
    {"name": "three or eight", "where": "label in ['3', '8']", "min_accuracy": 0.85, "severity": "warning"},
    {"name": "clusters", "clusters": 3},
]

# What only people know of the model: its card
CARD: dict[str, Any] = {
    "summary": "Reads one handwritten digit.",
    "intended_use": "Shows the whole lifecycle on data that needs no download; reads digits of 8×8 grey values.",
    "users": "People who try out or develop Airlock.",
    "out_of_scope": "Anything that matters: amounts, addresses, forms; pictures that are not one centred digit.",
    "factors": "The writer, the strength of the stroke (slice *faint*), and how much a digit resembles another.",
    "ethics": "The writers are anonymous. Who is read wrongly more often than others is not known.",
    "caveats": "8×8 pixels hold little; what is no digit is answered with a digit too, often surely.",
}

# Deployment
COMPRESSION: list[Any] = ["litert_dynamic", "litert_int8"]
COMPRESSION_RULE: dict[str, Any] = {"pick": "smallest", "max_points_lost": 0.5, "max_slice_points_lost": 2.0}
LICENCE = str(FOLDER / "LICENSE")
LICENCES = {"code": "Apache-2.0", "data": "CC-BY-4.0"}
# How it takes over from what serves: on real requests, and where nobody asks on the package's samples
ROLLOUT: dict[str, Any] = {
    "shares": [0.05, 0.25, 1.0],
    "requests": 40,
    "seconds": 1,
    "patience": 2,
    "synthetic": True,
    "max_latency_ratio": 2.0,
}

# Who decides: adopted with `airlock policy adopt`
GATES = policies(FOLDER / "gates.json")

# What wakes the next pipeline
APPROVED_DATA = Asset("digits/approved-data")
APPROVED_MODEL = Asset("digits/approved-model")
