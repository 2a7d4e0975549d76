"""The source digest of a step: its module and every Airlock module it imports, found without importing any.

A change in an unrelated step leaves the digest alone; a change in anything the step can reach changes it, so that a
cached result is never older than the code that would make it. Import lines are read with a pattern, not parsed: this
runs in every task, and parsing would cost it 30 ms.
"""

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from airlock.digests import digest_bytes, digest_document
from airlock.steps.registry import module_name

IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+([\w., \t]+))", re.MULTILINE
)
NAME = re.compile(rb"([\w.]+)(?:[ \t]+as[ \t]+\w+)?")


@lru_cache
def source_digest(step: str) -> str:
    """Return the digest over all modules a step reaches inside its own top-level package, and the page templates
    beside them."""
    modules = reachable(module_name(step))
    folders = sorted({path.parent for path in modules.values()})
    templates = [template for folder in folders for template in sorted(folder.glob("*.html"))]
    return digest_document(
        {name: digest_bytes(path.read_bytes()) for name, path in modules.items()}
        | {path.name: digest_bytes(path.read_bytes()) for path in templates}
    )


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
        queue += [module for module in _imports(path.read_bytes()) if module.partition(".")[0] == package]
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


def _imports(source: bytes) -> list[str]:
    """Names that may be modules: ``from a import b`` may mean the module ``a.b``."""
    names: list[str] = []
    for origin, members, modules in IMPORT.findall(source):
        parts = [name.decode() for name in NAME.findall(members or modules)]
        names += [origin.decode(), *(f"{origin.decode()}.{part}" for part in parts)] if origin else parts
    return names
