"""Reads one YAML or JSON file, strictly: a key given twice or a number that is none is an error, not a guess."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from airlock.errors import UserError

YAML = (".yaml", ".yml")
SUFFIXES = (*YAML, ".json")


class Loader(yaml.SafeLoader):
    """YAML as people expect it: ``1e-3`` is a number, ``2026-01-01`` is text, no key comes twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, Any] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = self.construct_object(key)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is given twice, first in line {seen[name].line + 1}", key.start_mark
                )
            seen[name] = key.start_mark
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp",)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"), list("-+0123456789.")
)


def read_document(path: Path) -> dict[str, Any]:
    """Read a file into a mapping of JSON values.

    :raises UserError: it is missing, of another kind, or not well-formed; the message has line and column.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path.name} is no architecture: it ends in {path.suffix!r}.", hint=f"End it in {', '.join(SUFFIXES)}."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The architecture {path.name} cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    return parse(data, path.name)


def parse(data: bytes, name: str) -> dict[str, Any]:
    """Read a document's bytes; JSON is tried when the name does not say YAML.

    :raises UserError: they are not well-formed.
    """
    try:
        found = yaml.load(data, Loader) if name.endswith(YAML) else json.loads(data, object_pairs_hook=_once)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        where = " ".join(str(error).split())
        raise UserError(f"The architecture {name} is not well-formed: {where}.", hint="Correct the file.") from error
    if not isinstance(found, dict):
        raise UserError(f"The architecture {name} is no mapping.", hint="Begin it with `airlock_architecture: 1`.")
    _require_json(found, name)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return found


def _require_json(value: Any, name: str) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise UserError(f"The architecture {name} has the key {key!r}, not text.", hint="Quote it.")
            _require_json(each, name)
    elif isinstance(value, list):
        for each in value:
            _require_json(each, name)
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        raise UserError(f"The architecture {name} has the value {value!r}.", hint="Write a number, text or list.")
