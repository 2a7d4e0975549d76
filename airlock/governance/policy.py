"""What a gate demands before it opens: data, not code, and part of every signed decision by its digest."""

import msgspec

from airlock.digests import digest_document
from airlock.errors import UserError
from airlock.governance.roles import check_role_name


class Rework(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a rejection goes back to.

    :param dag: DAG to start.
    :param step: its task that must be done again although nothing changed.
    """

    dag: str
    step: str


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who decides, and how.

    :param role: the role that decides.
    :param quorum: how many different people must approve.
    :param minimum_age: seconds before a request takes answers.
    :param comment_required: refuse an answer without a comment.
    :param rework: rejecting option to where it goes back to.
    """

    role: str
    quorum: int = 1
    minimum_age: float = 3.0
    comment_required: bool = False
    rework: dict[str, Rework] = {}

    def __post_init__(self) -> None:
        check_role_name(self.role)
        if self.quorum < 1:
            raise UserError(f"A quorum of {self.quorum} opens for nobody's word.", hint="Ask for at least 1 person.")
        if self.minimum_age < 0:
            raise UserError(f"A minimum age of {self.minimum_age} s is not a time.", hint="Give 0 or more seconds.")

    @property
    def digest(self) -> str:
        """Digest of the policy, signed with every decision made under it."""
        return digest_document(msgspec.to_builtins(self))
