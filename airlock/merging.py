"""Kubernetes documents in parts: what a configuration adds to what Airlock asks for."""

from typing import Any


def merged(base: Any, part: Any) -> Any:
    """Merge a partial document into another: mappings deeply, lists of named things by name, the rest replaced."""
    if isinstance(base, dict) and isinstance(part, dict):
        return base | {name: merged(base[name], value) if name in base else value for name, value in part.items()}
    if isinstance(base, list) and isinstance(part, list):
        return _merged_lists(base, part)
    return part


def _merged_lists(base: list[Any], part: list[Any]) -> list[Any]:
    items = [*base, *part]
    for identity in ("mountPath", "name"):  # one volume may be mounted twice
        if all(isinstance(item, dict) and identity in item for item in items):
            known = {item[identity]: item for item in base}
            for item in part:
                known[item[identity]] = merged(known.get(item[identity], {}), item)
            return list(known.values())
    return items
