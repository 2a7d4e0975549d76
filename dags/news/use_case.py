"""What makes this use case: its names, where its data comes from, what people are asked, its figures."""

from pathlib import Path
from typing import Any

from airflow.sdk import Asset

from airlock.operators.gate import policies

NAME = "news"
FOLDER = Path(__file__).parent

# Data: an archive of text files, one folder for each class, that the Airflow variable ``airlock_news_location`` names.
PUBLISHED = "http://mlg.ucd.ie/files/datasets/bbc-fulltext.zip"
CLASSES = ["business", "entertainment", "politics", "sport", "tech"]
SOURCE = {
    "kind": "zip",
    "location": "{{ var.value.get('airlock_news_location', '" + PUBLISHED + "') }}",
    "root": "bbc",
    "pattern": "[0-9]*.txt",
}
CLEANERS: list[dict[str, Any]] = [
    {"name": "repair_text"},
    {"name": "min_length", "minimum": 500},
]
SPLIT = {"train": 0.70, "validation": 0.15, "test": 0.15}
EXPECTATIONS = str(FOLDER / "expectations.json")
CHECKS: list[dict[str, Any]] = [
    {"check": "corrupt_files"},
    {"check": "exact_duplicates", "max_share": 0.01},
    {"check": "near_duplicates", "max_share": 0.05, "severity": "warning"},
    {"check": "leakage", "by": ["content"], "max_share": 0.01},
    {"check": "class_balance", "classes": CLASSES, "min_share": 0.1},
    {"check": "drift", "severity": "warning"},
    {"check": "same_cleaning"},
]

# Labelling: the folders name a class for each article; two people check a batch of them.
BATCH: dict[str, Any] = {"size": 40, "strategy": "stratified", "include_labelled": True, "kind": "text"}
QUESTION: dict[str, Any] = {
    "kind": "text",
    "overlap": 2,
    "instructions": "Choose the one section of a newspaper that the article belongs to. Skip what is no article.",
}
RULE = {"consensus": "majority", "sources": "fallback"}
POLL = 5.0  # seconds between two looks at how far people are

# Model: on PyTorch
TRANSFORM = str(FOLDER / "transform.py")
NETWORK = str(FOLDER / "network.yaml")
PARAMETERS = {"epochs": 30, "batch_size": 32, "learning_rate": 0.001, "patience": 5, "backend": "torch"}
SEED = 7

# What is tried before: as many combinations, of which the best one goes on after a few epochs
SEARCH: dict[str, Any] = {
    "trials": 3,
    "seed": 7,
    "vary": {"learning_rate": {"low": 5e-4, "high": 5e-3, "log": True}, "dropout": [0.3, 0.5]},
    "keep": ["top: 1 by val_loss at 3"],
}
RETRAIN = ""  # when, beside new data, as a cron expression: "0 3 * * 0" for Sunday nights

# Where the model is measured apart, and what it should reach there
SLICES: list[dict[str, Any]] = [
    {"name": "all", "min_accuracy": 0.96, "severity": "warning"},
    {"name": "against the champion", "max_points_lost": 2.0, "severity": "warning"},
    {"name": "business or politics", "where": "label in ['business', 'politics']", "severity": "warning"},
]

# What only people know of the model: its card
CARD: dict[str, Any] = {
    "summary": "Says which of five sections of a newspaper an article belongs to.",
    "intended_use": "Sorts English news articles of at least 500 characters into business, entertainment, politics, "
    "sport and tech.",
    "users": "People who try out Airlock with text.",
    "out_of_scope": "Other languages, other sections, anything about a person rather than an article.",
    "factors": "The time: the articles are of 2004 and 2005. Business and politics share their words.",
    "ethics": "Articles name people; the model counts words and keeps no text.",
    "caveats": "An article of no section is answered with one of the five.",
    "licence": "Data: BBC, for research (Greene and Cunningham 2006).",
}

# Deployment
COMPRESSION: list[Any] = ["litert_dynamic", "litert_int8"]
COMPRESSION_RULE: dict[str, Any] = {"pick": "smallest", "max_points_lost": 0.5, "max_slice_points_lost": 2.0}
LICENCE = str(FOLDER / "LICENSE")
LICENCES = {"code": "Apache-2.0", "data": "LicenseRef-BBC-research"}
LIMITS = {"body_bytes": 1 << 20}  # an article, not a library
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
APPROVED_DATA = Asset("news/approved-data")
APPROVED_MODEL = Asset("news/approved-model")
