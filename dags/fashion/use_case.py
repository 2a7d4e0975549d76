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
PARAMETERS = {"epochs": 30, "batch_size": 32, "learning_rate": 0.001, "patience": 5}
SEED = 7

# What is tried before: as many combinations, of which the best one goes on after a few epochs
SEARCH: dict[str, Any] = {
    "trials": 3,
    "seed": 7,
    "vary": {"learning_rate": {"low": 5e-4, "high": 3e-3, "log": True}},
    "keep": ["top: 1 by val_loss at 2"],
}
RETRAIN = ""  # when, beside new data, as a cron expression: "0 3 * * 0" for Sunday nights

# Where the model is measured apart, and what it should reach there
SLICES: list[dict[str, Any]] = [
    {"name": "all", "min_accuracy": 0.78, "severity": "warning"},
    {"name": "against the champion", "max_points_lost": 2.0, "severity": "warning"},
    {
        "name": "upper body",
        "where": "label in ['T-shirt/top', 'Pullover', 'Coat', 'Shirt']",
        "min_accuracy": 0.6,
        "severity": "warning",
    },
    {"name": "dark", "where": "mean < 40"},
    {"name": "clusters", "clusters": 5},
]

# What only people know of the model: its card
CARD: dict[str, Any] = {
    "summary": "Says which of ten kinds of clothing a picture shows.",
    "intended_use": "Sorts 28×28 grey pictures of single products on a plain ground, as Fashion-MNIST has them.",
    "users": "People who compare methods, and who try out Airlock with data of a real size.",
    "out_of_scope": "Photographs of people, several products in one picture, colours, other kinds of clothing.",
    "factors": "The kind of product: what is worn on the upper body looks alike (slice *upper body*); dark products.",
    "ethics": "No people are shown. The products are one German retailer's, so others' may be told apart worse.",
    "caveats": "Labels are the retailer's and partly wrong; a batch of them is checked by two people.",
    "licence": "Data: MIT, Zalando SE.",
}

# Deployment
COMPRESSION: list[Any] = [
    "litert_dynamic",
    "litert_int8",
    [{"method": "structured_pruning", "keep": 0.5}, "litert_dynamic"],
]
COMPRESSION_RULE: dict[str, Any] = {"pick": "smallest", "max_points_lost": 0.5, "max_slice_points_lost": 1.0}
LICENCE = str(FOLDER / "LICENSE")
LICENCES = {"code": "Apache-2.0", "data": "MIT"}
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
APPROVED_DATA = Asset("fashion/approved-data")
APPROVED_MODEL = Asset("fashion/approved-model")
