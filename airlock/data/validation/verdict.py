"""What came of checking a dataset version: one entry for every expectation and every check."""

from typing import Any

import msgspec

from airlock.data.similarity.pairs import Twins


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the same categories or bins, before and now; ``before`` is empty where there is nothing before."""

    title: str
    names: tuple[str, ...]
    now: tuple[float, ...]
    before: tuple[float, ...] = ()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation or check, and what came of it.

    :param observed: the value it looked at, for people.
    :param failing: how many samples are unexpected; also counted within what is tolerated.
    :param sample_ids: which ones; empty for what is about a whole column or table.
    :param figure: the number that decided, where there is one.
    :param rejects: whether the data is rejected when it is not met.
    :param twins: pairs of samples that are too much alike, most alike first.
    """

    type: str
    description: str
    kwargs: dict[str, Any]
    severity: str
    success: bool
    observed: str
    failing: int = 0
    sample_ids: tuple[str, ...] = ()
    figure: float | None = None
    rejects: bool = True
    twins: tuple[Twins, ...] = ()
    plots: tuple[Plot, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a suite and the checks say about a dataset version."""

    airlock_validation: int = 2
    suite: str
    rows: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> list[Check]:
        """What rejects the data."""
        return [check for check in self.checks if not check.success and check.rejects]

    @property
    def warnings(self) -> list[Check]:
        """What is not met and only told."""
        return [check for check in self.checks if not check.success and not check.rejects]
