"""Names and labels by which the pods of a task are found again, by whoever looks for them."""

import re
import uuid
from typing import Any

from airlock.digests import digest_bytes
from airlock.settings import settings
from airlock.steps.contract import RunInfo

LONGEST = 63
SET, KEY, DOCUMENT, COMPUTE = "airlock/set", "airlock/key", "airlock/spec", "airlock/compute"
PLAIN = re.compile(r"[^A-Za-z0-9_.-]")


def new_name(step: str) -> str:
    """Return a name that no other pod has; those of a Job get five characters more."""
    return f"airlock-{step.replace('_', '-')}-{uuid.uuid4().hex[:10]}"


def of_task(run: RunInfo) -> dict[str, str]:
    """The labels that all pods of a task have, whichever try of it started them."""
    return {
        "app.kubernetes.io/managed-by": "airlock",
        "airlock/store": label(settings().artifacts),
        "airlock/dag": label(run.dag),
        "airlock/run": label(run.run),
        "airlock/task": label(run.task),
        "airlock/map-index": label(str(run.map_index)),
    }


def selector(labels: dict[str, str]) -> str:
    """A label selector that asks for all of these."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def label(text: str) -> str:
    """A text as a label's value: itself where that is allowed, else what is allowed of it and a digest."""
    plain = PLAIN.sub("-", text).strip("-_.")
    if plain == text and len(text) <= LONGEST:
        return text
    return f"{plain[:40].strip('-_.')}-{digest_bytes(text.encode())[7:19]}".lstrip("-")


def set_of(document: dict[str, Any]) -> str:
    """Name of the pod or Job that a pod belongs to."""
    return str(document["metadata"]["labels"][SET])
