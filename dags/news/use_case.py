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

# Who decides: adopted with `airlock policy adopt`
GATES = policies(FOLDER / "gates.json")

# What wakes the next pipeline
APPROVED_DATA = Asset("news/approved-data")
