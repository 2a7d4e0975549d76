"""Loads a use case's code file as a module of its own, named by nobody and importable by nobody.

The file is one artifact: its digest is in the manifest, so it may import installed packages but no neighbour.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airlock.errors import UserError


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """Execute a code file and return one of its functions.

    :param path: a Python file.
    :param name: the function asked for.
    :raises UserError: the file does not parse, fails while it is imported, or lacks the function.
    """
    spec = importlib.util.spec_from_file_location(f"airlock_use_case_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path.name} is not a Python file.", hint="Name a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    with Blame(f"{path.name} cannot be imported", hint=f"Correct {path.name}; it may import installed packages only."):
        spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{path.name} has no function {name!r}.", hint=f"Define `def {name}(…)` in it.")
    return function  # type: ignore[no-any-return]


class Blame:
    """Turns whatever a user's code raises into a :class:`UserError` that says where.

    :param what: what went wrong, before the colon.
    :param hint: the way out.
    """

    def __init__(self, what: str, hint: str) -> None:
        self.what = what
        self.hint = hint

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Let our own errors, memory errors and interrupts pass as they are; a ``sys.exit`` is an error here."""
        if isinstance(error, Exception | SystemExit) and not isinstance(error, UserError | MemoryError):
            raise UserError(f"{self.what}: {type(error).__name__}: {error}.", hint=self.hint) from error
