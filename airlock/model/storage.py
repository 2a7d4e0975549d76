"""Keras models as files whose bytes follow from the model alone, so that the same training has the same digest."""

import json
import zipfile
from pathlib import Path
from typing import Any

from airlock.errors import UserError
from airlock.model.backend import load_keras

NO_DATE = "1980-01-01"


def save_model(model: Any, path: Path) -> Path:
    """Write a ``.keras`` file that is the same whenever and wherever it is written."""
    dated = path.with_suffix(".dated.keras")
    model.save(dated)
    with zipfile.ZipFile(dated) as source, zipfile.ZipFile(path, "w") as target:
        for name in sorted(source.namelist()):
            target.writestr(zipfile.ZipInfo(name), _stable(name, source.read(name)))
    dated.unlink()
    return path


def load_model(path: Path) -> Any:
    """Read a ``.keras`` file; code inside it is not run.

    :raises UserError: it is none.
    """
    keras = load_keras()
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path.name} cannot be loaded as a Keras model: {error}.",
            hint="Pass the model that the train step stored.",
        ) from error


def _stable(name: str, data: bytes) -> bytes:
    """Take out what differs from one writing to the next: the date, and memory addresses used as names."""
    if name == "metadata.json":
        return json.dumps(json.loads(data) | {"date_saved": NO_DATE}, sort_keys=True).encode()
    if name == "config.json":
        numbers: dict[int, int] = {}
        return json.dumps(_numbered(json.loads(data), numbers)).encode()
    return data


def _numbered(node: Any, numbers: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_numbered(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    shared = node.get("shared_object_id")
    changed = {"shared_object_id": numbers.setdefault(shared, len(numbers) + 1)} if shared is not None else {}
    return {name: _numbered(item, numbers) for name, item in node.items()} | changed
