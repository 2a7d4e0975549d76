"""Architectures written down in a folder, and what is wrong with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airlock.model.architecture import ArchitectureError, check, resolve

HEAD: dict[str, Any] = {"airlock_architecture": 1, "input": {"shape": [8, 8, 1], "dtype": "float32"}}
TAIL: list[Any] = [{"flat": "Flatten"}, {"out": {"Dense": {"units": "${classes}", "activation": "softmax"}}}]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give ``write(nodes, name, **document)``: writes an architecture into a folder, returns its path."""

    def _write(nodes: list[Any] | None = None, name: str = "network.yaml", **document: Any) -> Path:
        whole = ({} if "extends" in document else HEAD) | {"airlock_architecture": 1} | document
        if nodes is not None:
            whole["nodes"] = nodes
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(yaml.safe_dump(whole, sort_keys=False))
        return tmp_path / name

    return _write


@pytest.fixture
def wrong(write: Callable[..., Path]) -> Callable[..., list[str]]:
    """Give ``wrong(nodes, parameters, classes, **document)``: the problems of an architecture, as lines."""

    def _wrong(
        nodes: list[Any], given: dict[str, Any] | None = None, classes: int | None = 10, **document: Any
    ) -> list[str]:
        try:
            check(resolve(write(nodes, **document)), given or {}, classes)
        except ArchitectureError as error:
            return [f"{problem.node}: {problem.reason}" for problem in error.problems]
        return []

    return _wrong
