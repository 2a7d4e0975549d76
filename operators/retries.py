"""Restarts of a step inside its task, with budgets of their own.

A step that was preempted, evicted or killed did nothing wrong; one that ran out of memory will do so again in the
same place; one that failed by its own fault must be corrected. Airflow's ``retries`` cannot tell these apart, and
counts a lost worker too. What was used up is kept in the task state store: it holds over all tries of a task, and is
given anew when a person clears it.
"""

import logging

import msgspec

from airlock.errors import InfrastructureError, ResourceError, UserError
from airlock.operators.compute import profile
from airlock.operators.execution import Ending
from airlock.operators.profiles import Profile
from airlock.operators.state import RESTARTS, TaskState

LONGEST = 30.0
LOG = logging.getLogger(__name__)


class Used(msgspec.Struct, kw_only=True):
    """What a task has used up.

    :param given: Airflow's ``max_tries``, which grows when a person clears the task.
    :param compute: profile of the next execution; the task's own while empty.
    """

    given: int
    interrupted: int = 0
    out_of_memory: int = 0
    compute: str = ""

    @property
    def total(self) -> int:
        return self.interrupted + self.out_of_memory


class BudgetUsedUp(InfrastructureError):
    """The step was interrupted more often than its profile allows: another try of Airflow's would not help."""


class Restarts:
    """Counts how executions end, and says whether there is another one.

    :param compute: profile that the task asks for.
    :param attempt: Airflow's try number; before the first one nothing was used up, and nobody is asked.
    :param given: Airflow's ``max_tries`` of the task.
    """

    def __init__(self, step: str, state: TaskState, compute: str, attempt: int, given: int) -> None:
        self.step = step
        self.state = state
        self.asked = compute
        kept = state.get(RESTARTS) if attempt > 1 else None
        used = msgspec.convert(kept, Used) if isinstance(kept, dict) else Used(given=given)
        self.used = used if used.given == given else Used(given=given)

    @property
    def number(self) -> int:
        """How often the step was started again."""
        return self.used.total

    @property
    def compute(self) -> str:
        """Name of the profile to run with."""
        return self.used.compute or self.asked

    @property
    def profile(self) -> Profile:
        return profile(self.compute)

    def next(self, ending: Ending) -> float:
        """Take note of an ending without a result; return the seconds to wait before the next start.

        :raises AirlockError: there is none.
        """
        match ending.kind:
            case "interrupted":
                return self._interrupted(ending)
            case "out of memory" if self.may_use_more_memory():
                return self._out_of_memory(ending)
            case "out of memory" | "resource":
                raise ResourceError(f"{self.step} {ending.reason}.", hint=ending.hint)
            case "user":
                raise UserError(f"{self.step} {ending.reason} and left no result.", hint=ending.hint)
        raise InfrastructureError(
            f"{self.step} {ending.reason} and left no result; nothing it made is used.",
            hint="Read the log above; a retry starts it again.",
        )

    def may_use_more_memory(self) -> bool:
        """Whether a step that ran out of memory is started again."""
        return bool(self.profile.on_out_of_memory) or self.used.out_of_memory < self.profile.out_of_memory

    def _interrupted(self, ending: Ending) -> float:
        allowed = self.profile.restarts
        if self.used.interrupted >= allowed:
            raise BudgetUsedUp(
                f"{self.step} was interrupted more than {allowed} times; the last time it {ending.reason}.",
                hint=f"Clear the task to go on, or raise `restarts` of the compute profile {self.compute!r}.",
            )
        self.used.interrupted += 1
        self._say(f"restarted {self.used.interrupted} of {allowed}: {ending.reason}")
        return float(min(LONGEST, self.profile.restart_delay * 2 ** (self.used.interrupted - 1)))

    def _out_of_memory(self, ending: Ending) -> float:
        self.used.out_of_memory += 1
        if bigger := self.profile.on_out_of_memory:
            self.used.compute = bigger
            self._say(f"restarted with the compute profile {bigger!r}: {ending.reason}")
        else:
            self._say(f"restarted {self.used.out_of_memory} of {self.profile.out_of_memory}: {ending.reason}")
        return self.profile.restart_delay

    def _say(self, text: str) -> None:
        self.state.set(RESTARTS, msgspec.to_builtins(self.used))
        self.state.say(text)
        LOG.warning("%s %s", self.step, text)
