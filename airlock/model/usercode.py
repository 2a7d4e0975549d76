"""Loads a use case's code file as a module of its own, named by nobody and importable by nobody.

The file is one artifact: its digest is in the manifest, so it may import installed packages but no neighbour.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from airlock.errors import AirlockError, UserError


def load_function(path: Path, name: str) -> Callable[..., Any]:
    """Execute a code file and return one of its functions.

    :param path: a Python file.
    :param name: the function asked for.
    :raises UserError: the file does not parse, fails while it is imported, or lacks the function.
    """
    module = ModuleType(f"airlock_use_case_{path.stem}")
    module.__file__ = str(path)
    with Blame(f"{path.name} cannot be imported", hint=f"Correct {path.name}; it may import installed packages only."):
        # Not by an import: bytecode of another file with the same path, size and second would be taken for this one.
        exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"{path.name} has no function {name!r}.", hint=f"Define `def {name}(…)` in it.")
    return function  # type: ignore[no-any-return]


class Blame:
    """Turns whatever a user's code raises into an error of ours that says where.

    :param what: what went wrong, before the colon.
    :param hint: the way out.
    :param kind: of the error.
    """

    def __init__(self, what: str, hint: str, kind: type[AirlockError] = UserError) -> None:
        self.what = what
        self.hint = hint
        self.kind = kind

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Let our own errors, memory errors and interrupts pass as they are; a ``sys.exit`` is an error here."""
        if isinstance(error, Exception | SystemExit) and not isinstance(error, UserError | MemoryError):
            raise self.kind(f"{self.what}: {type(error).__name__}: {error}.", hint=self.hint) from error
