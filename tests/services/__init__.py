"""Real servers that tests start."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables, for the stack inherits what starts it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield
