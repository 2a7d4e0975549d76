"""Every error Airlock raises on purpose.

::

    AirlockError
    ├── UserError (ValueError)            bad data, parameter or code: fix it, a retry will not help
    │   ├── SourceError                   an input cannot be fetched, read or decoded
    │   ├── DataRejected                  data was read, and breaks a declared expectation
    │   └── IntegrityError                bytes are not what their digest says
    ├── ModelError (ArithmeticError)      a package answers what is no answer: its owner must act, not who asked
    ├── NotApproved (PermissionError)     nobody in the right role approved exactly this
    ├── InfrastructureError (OSError)     a service, node or process went away: retry
    └── ResourceError (MemoryError)       memory, disk or time ran out: change the knob it names

A message names the input, the rule it breaks and the way out. The class says who must act;
``category`` is how a step's result carries it over a process boundary.
"""

from typing import ClassVar, Literal

Category = Literal["user", "infrastructure", "resource"]


class AirlockError(Exception):
    """Root of the tree.

    :param message: the input and the rule it breaks.
    :param hint: the way out, as an instruction.
    """

    category: ClassVar[Category] = "user"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(AirlockError, ValueError):
    """Bad data, parameter or code."""


class SourceError(UserError):
    """An input cannot be fetched, read or decoded."""


class DataRejected(UserError):
    """Data was read, and breaks a declared expectation."""


class IntegrityError(UserError):
    """Stored bytes are missing or are not what their digest says."""


class ModelError(AirlockError, ArithmeticError):
    """A model, or the code packaged with it, gave what is no answer to an input that is in order."""


class NotApproved(AirlockError, PermissionError):
    """Nobody in the right role approved exactly this."""


class InfrastructureError(AirlockError, OSError):
    """A service, node or process went away."""

    category = "infrastructure"


class ResourceError(AirlockError, MemoryError):
    """Memory, disk or time ran out."""

    category = "resource"
