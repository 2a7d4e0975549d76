"""Networks that are data: checked when the DAG is parsed, stored with every ``extends`` applied."""

from pathlib import Path
from typing import Any

from airlock.model.architecture import MEDIA_TYPE, Architecture, check, resolve
from airlock.model.architecture.reading import SUFFIXES
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore

_resolved: dict[Path, tuple[list[tuple[int, int]], Architecture]] = {}


def check_network(code: Any, parameters: Any, classes: Any) -> None:
    """Check an architecture as far as its arguments are known while the DAG is parsed; code is left alone.

    Of parameters that come from another task or from a template the architecture's own values stand in.

    :raises UserError: the file is missing or not well-formed, or the network has problems: all of them are named.
    """
    if _plain(code) and isinstance(code, str) and Path(code).suffix in SUFFIXES:
        known = {name: value for name, value in parameters.items() if _plain(value)} if type(parameters) is dict else {}
        count = len(classes) if isinstance(classes, list | tuple) else None
        check(_resolve_once(Path(code)), known, count)


def store_network(artifacts: ArtifactStore, path: Path) -> Artifact:
    """Store a network: an architecture in its canonical form, so that equal ones are one artifact; code as it is.

    :raises UserError: the architecture cannot be read.
    """
    if path.suffix in SUFFIXES:
        return artifacts.put(_resolve_once(path).data, MEDIA_TYPE)
    return artifacts.put_file(path, "text/plain")


def _resolve_once(path: Path) -> Architecture:
    """Resolve a file; the same again costs nothing until it, or one it extends, was written."""
    if path in _resolved:
        stamps, architecture = _resolved[path]
        if stamps == _stamps(architecture):
            return architecture
    architecture = resolve(path)
    _resolved[path] = (_stamps(architecture), architecture)
    return architecture


def _stamps(architecture: Architecture) -> list[tuple[int, int]]:
    found = [path.stat() for path in architecture.sources if path.exists()]
    return [(each.st_mtime_ns, each.st_size) for each in found]


def _plain(value: Any) -> bool:
    """Whether a value is known: no reference to another task's output, no template."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, list | tuple):
        return all(_plain(each) for each in value)
    if isinstance(value, dict):
        return all(_plain(each) for each in value.values())
    return value is None or isinstance(value, int | float)
