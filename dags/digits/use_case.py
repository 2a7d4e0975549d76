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
NETWORK = str(FOLDER / "network.py")
PARAMETERS = {"epochs": 30, "batch_size": 32, "learning_rate": 0.001}
SEED = 7

# Deployment
COMPRESSION = "litert_dynamic"

# Who decides: adopted with `airlock policy adopt`
GATES = policies(FOLDER / "gates.json")

# What wakes the next pipeline
APPROVED_DATA = Asset("digits/approved-data")
APPROVED_MODEL = Asset("digits/approved-model")
