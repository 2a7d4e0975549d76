"""The command line against real stores."""

from collections.abc import Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from airlock.cli import app
from airlock.commands.output import console
from tests.governed import governed, home

__all__ = ["governed", "home"]


@pytest.fixture
def airlock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Give ``airlock(*arguments)``: runs a command here; errors of Airlock are in ``exception``."""
    monkeypatch.setattr(console, "width", 240)  # where it is imported first may be narrow
    return lambda *arguments, **more: CliRunner().invoke(app, [str(each) for each in arguments], **more)
