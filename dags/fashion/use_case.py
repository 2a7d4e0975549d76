"""What makes this use case: its names, where its data comes from, its figures."""

from pathlib import Path
from typing import Any

from airflow.sdk import Asset

from airlock.operators.gate import policies

NAME = "fashion"
FOLDER = Path(__file__).parent

# Data: the published IDX files, or a folder or mirror that the Airflow variable ``airlock_fashion_location`` names.
PUBLISHED = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
SOURCE = {
    "kind": "idx",
    "location": "{{ var.value.get('airlock_fashion_location', '" + PUBLISHED + "') }}",
    "classes": CLASSES,
}
CLEANERS = [{"name": "decode_image", "mode": "L", "min_side": 28, "max_side": 28}]
SPLIT = {"train": 0.85, "validation": 0.15, "test": 0.0}  # the published test files are the test split
EXPECTATIONS = str(FOLDER / "expectations.json")
CHECKS: list[dict[str, Any]] = [
    {"check": "corrupt_files"},
    {"check": "exact_duplicates"},
    {"check": "near_duplicates", "max_share": 0.05, "severity": "warning"},
    {"check": "leakage", "by": ["content"]},
    {"check": "class_balance", "classes": CLASSES, "min_count": 10},
    {"check": "drift", "severity": "warning"},
    {"check": "same_cleaning"},
]

# Labelling: the published files come with labels; two people check a batch of them.
BATCH: dict[str, Any] = {"size": 30, "strategy": "stratified", "include_labelled": True, "kind": "image"}
QUESTION: dict[str, Any] = {
    "kind": "image",
    "overlap": 2,
    "instructions": "Choose what the picture shows. A shirt has buttons or a collar; skip what nobody can tell.",
}
RULE = {"consensus": "majority", "sources": "fallback"}
POLL = 5.0  # seconds between two looks at how far people are

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
APPROVED_DATA = Asset("fashion/approved-data")
APPROVED_MODEL = Asset("fashion/approved-model")
