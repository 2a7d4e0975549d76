"""What a gate demands before it opens: data, not code, and part of every signed decision by its digest."""

from pathlib import Path
from typing import Literal

import msgspec

from airlock.digests import digest_document
from airlock.errors import UserError
from airlock.governance.forms import Form
from airlock.governance.roles import check_role_name

APPROVE = "Approve"
Part = Literal["submitter", "trainer", "labeler"]


class Rework(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a rejection goes back to.

    :param dag: DAG to start.
    :param step: its task that must be done again although nothing changed.
    """

    dag: str
    step: str


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of an approval; stages are taken in order.

    :param roles: whoever has one of these may decide.
    :param quorum: how many different people must approve.
    """

    roles: list[str]
    quorum: int = 1

    def __post_init__(self) -> None:
        _check_roles(self.roles)
        if self.quorum < 1:
            raise UserError(f"A quorum of {self.quorum} opens for nobody's word.", hint="Ask for at least 1 person.")

    @property
    def words(self) -> str:
        """Who must approve, for people."""
        who = " or ".join(self.roles)
        return f"a {who}" if self.quorum == 1 else f"{self.quorum} different people ({who})"


class Escalation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may decide too when nobody did.

    :param after: seconds since the request was filed.
    :param roles: roles that may then decide in every stage.
    """

    after: float
    roles: list[str]

    def __post_init__(self) -> None:
        _check_roles(self.roles)


class GatePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who decides, in which order, and how. Nobody counts twice, in whatever stages.

    :param stages: who must approve, in order; a single rejection by whoever may decide now ends it.
    :param exclude: four eyes: who started the run (``submitter``), who started the training (``trainer``) and who
        labelled (``labeler``) may not decide.
    :param comment_required: refuse an answer without a comment.
    :param checklist: field name to what whoever approves must confirm.
    :param form: field name to a question, whose answer is signed with the decision.
    :param minimum_age: seconds before a request takes answers; Airflow loses answers that come while the parking
        task is still being recorded.
    :param window: seconds after which the request expires; ``None`` for never. Expiry is never approval.
    :param reminder: seconds after which those who are awaited are reminded, once.
    :param escalation: who may decide too after a time.
    :param supersede: whether a newer manifest at the same gate closes this request.
    :param rework: rejecting option to where it goes back to.
    """

    stages: list[Stage]
    exclude: list[Part] = []
    comment_required: bool = False
    checklist: dict[str, str] = {}
    form: Form = {}
    minimum_age: float = 3.0
    window: float | None = None
    reminder: float | None = None
    escalation: Escalation | None = None
    supersede: bool = True
    rework: dict[str, Rework] = {}

    def __post_init__(self) -> None:
        if not self.stages:
            raise UserError("A gate without stages asks nobody.", hint='Give it "stages": [{"roles": [...]}].')
        if APPROVE in self.rework:
            raise UserError(f"{APPROVE!r} cannot be a rework.", hint="Name the rework after where it goes back to.")
        names = [*self.checklist, *self.form]
        if wrong := [name for name in names if not name.isidentifier() or name == "comment" or names.count(name) > 1]:
            raise UserError(f"{wrong[0]!r} names no field of a form.", hint="Use letters and underscores, each once.")
        _check_times(self)

    @classmethod
    def of(cls, *roles: str) -> "GatePolicy":
        """The simplest policy: one stage, one person with one of these roles."""
        return cls(stages=[Stage(roles=list(roles))])

    @property
    def digest(self) -> str:
        """Digest of the policy, signed with every decision made under it; 60 seconds are the same as 60.0."""
        document = msgspec.to_builtins(msgspec.convert(msgspec.to_builtins(self), GatePolicy))
        if not self.form:  # policies signed before there were forms keep their digest
            del document["form"]
        return digest_document(document)

    @property
    def options(self) -> list[str]:
        """What can be answered, in an order that the ledger's canonical form keeps."""
        return [APPROVE, *sorted(self.rework)]

    def roles(self, stage: int, age: float) -> list[str]:
        """Roles that may decide in a stage.

        :param age: of the request, in seconds.
        """
        late = self.escalation is not None and age >= self.escalation.after
        return [*self.stages[stage].roles, *(self.escalation.roles if self.escalation and late else [])]

    def describe(self) -> str:
        """One sentence for people: who must approve, and who may not."""
        wanted = ", then ".join(stage.words for stage in self.stages)
        barred = f"; not whoever was its {' or '.join(self.exclude)}" if self.exclude else ""
        return f"Needs {wanted}{barred}."


class GateFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gates of a use case, ``gates.json`` beside its DAGs.

    :param gates: name of the gate to its policy.
    :param schema: ``$schema``, for editors.
    """

    airlock_gates: Literal[1]
    use_case: str
    gates: dict[str, GatePolicy]
    schema: str = msgspec.field(name="$schema", default="")


def gates_schema() -> bytes:
    """The JSON Schema of ``gates.json``, as it lies in ``airlock/governance/gates.schema.json``."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | msgspec.json.schema(GateFile)
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def read_gates(path: Path) -> GateFile:
    """Read the gates of a use case.

    :raises UserError: names the file, the field and the rule.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateFile)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}.", hint="Copy gates.json from dags/digits."
        ) from error
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} does not describe gates: {error}.", hint="Compare it with dags/digits.") from error


def _check_roles(roles: list[str]) -> None:
    if not roles:
        raise UserError("A stage without roles asks nobody.", hint='Give it "roles": ["model_validator"], for example.')
    for role in roles:
        check_role_name(role)


def _check_times(policy: GatePolicy) -> None:
    times = {
        "minimum age": policy.minimum_age,
        "window": policy.window,
        "reminder": policy.reminder,
        "escalation": policy.escalation.after if policy.escalation else None,
    }
    for name, seconds in times.items():
        if seconds is not None and seconds < 0:
            raise UserError(f"A {name} of {seconds} s is not a time.", hint="Give 0 or more seconds.")
        if policy.window is not None and seconds is not None and seconds > policy.window:
            raise UserError(
                f"The {name} of {seconds} s lies after the window of {policy.window} s.", hint="Widen the window."
            )
