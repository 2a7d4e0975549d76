"""What was tried of a package, and what came of it."""

import msgspec

from airlock.errors import UserError

GROUPS = (
    "schema",
    "licence",
    "samples",
    "model",
    "parity",
    "server",
    "endpoints",
    "answers",
    "limits",
    "memory",
    "time",
)
"""In the order in which they are tried; where one of the first five fails, no server is started."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried.

    :param group: which of :data:`GROUPS` it belongs to.
    :param detail: what was found.
    :param hint: the way out, when it failed.
    """

    group: str = ""
    name: str
    passed: bool
    detail: str = ""
    hint: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried.

    :param manifest: digest of the release manifest that every answer had to name.
    :param package: digest of the package.
    :param tolerance: largest absolute difference of the first output that counts as the same.
    :param start_seconds: from starting the server until it was ready; 0 where none was started.
    :param resident_bytes: the most memory that the server held.
    :param slowest_seconds: the longest that a sample's answer took.
    """

    manifest: str
    package: str
    tolerance: float = 0.0
    start_seconds: float = 0.0
    resident_bytes: int = 0
    slowest_seconds: float = 0.0
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def require_kept(self) -> None:
        """Fail unless every check passed.

        :raises UserError: names the first five that did not.
        """
        if self.failed:
            named = "; ".join(f"{check.name} ({check.detail})" for check in self.failed[:5])
            raise UserError(
                f"The package fails {len(self.failed)} of {len(self.checks)} checks: {named}.",
                hint=self.failed[0].hint
                or "The report names all of them; correct the use case's code and package again.",
            )
