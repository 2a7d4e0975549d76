"""The source digest of a step: its module and every Airlock module it imports, found without importing any.

A comment or a change in an unrelated step leaves the digest alone; a change in anything the step can reach
changes it, so that a cached result is never older than the code that would make it.
"""

import ast
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from airlock.digests import digest_document, digest_file
from airlock.steps.registry import module_name


@lru_cache
def source_digest(step: str) -> str:
    """Return the digest over the syntax trees of all modules a step reaches inside its own top-level package,
    and the page templates beside them."""
    modules = reachable(module_name(step))
    folders = sorted({path.parent for path in modules.values()})
    templates = {path.name: digest_file(path) for folder in folders for path in sorted(folder.glob("*.html"))}
    return digest_document({name: _tree(path) for name, path in modules.items()} | templates)


def reachable(root: str) -> dict[str, Path]:
    """Return module name to file for a module and what it imports from the same top-level package, transitively."""
    package = root.partition(".")[0]
    found: dict[str, Path] = {}
    queue = [root]
    while queue:
        name = queue.pop()
        if name in found or not (path := _file_of(name)):
            continue
        found[name] = path
        queue += [module for module in _imports(path) if module.partition(".")[0] == package]
    return dict(sorted(found.items()))


@lru_cache
def _package_root(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None


def _file_of(name: str) -> Path | None:
    package, _, rest = name.partition(".")
    root = _package_root(package)
    if root is None or not rest:
        return None
    base = root.joinpath(*rest.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@lru_cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _tree(path: Path) -> str:
    return ast.dump(_parsed(path))
