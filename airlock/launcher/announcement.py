"""What ``up`` leaves behind, and how it says so."""

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from airlock.launcher.credentials import DemoUser
from airlock.launcher.phases import Phase, Say
from airlock.settings import Settings


class StackInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stack that is up.

    :param settings: addresses of everything; also in ``<home>/settings.json``.
    :param users: the demo users with their passwords.
    :param users_are_new: this was the first start that came to its end: shown now, and only now.
    :param phases: what this start did; empty when everything was up already.
    :param seconds: how long it took.
    """

    settings: Settings
    users: list[DemoUser]
    users_are_new: bool = False
    phases: list[Phase] = []
    seconds: float = 0.0

    @property
    def was_up(self) -> bool:
        """Whether there was nothing to do."""
        return not self.phases


def say_to(console: Console | None) -> Say:
    """Return a function that prints one plain line; without a console it does nothing."""
    if console is None:
        return lambda _line: None
    return lambda line: console.print(escape(line), highlight=False, soft_wrap=True)


def announce(info: StackInfo, console: Console | None) -> None:
    """Say where everything is, and at the first start who may log in."""
    say = say_to(console)
    settings = info.settings
    say(f"airlock was up already in {settings.home}" if info.was_up else f"airlock is up after {info.seconds:.1f} s")
    say(f"  Airflow {settings.airflow}   MLflow {settings.tracking}   served models {settings.serving}")
    if settings.label_studio:
        say(f"  Label Studio {settings.label_studio}   its administrator's password is in {settings.home}/secrets.json")
    if info.users_are_new and console is not None:
        console.print(_users(info.users))
        say(f"  These passwords are shown once; they are kept in {settings.home}/demo_users.json.")


def _users(users: list[DemoUser]) -> Table:
    table = Table("user", "role", "password", title="demo users")
    for user in users:
        table.add_row(user.username, user.role, user.password)
    return table
