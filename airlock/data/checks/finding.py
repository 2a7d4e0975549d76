"""What a check finds before it is written into the verdict."""

import msgspec

from airlock.data.similarity.pairs import Twins
from airlock.data.validation.verdict import Plot


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a check.

    :param rule: what was asked, in words.
    :param observed: what was found, in words.
    :param figure: the number that decided.
    :param sample_ids: the samples that offend; ``twins`` when they do so in pairs.
    """

    success: bool
    rule: str
    observed: str
    figure: float
    sample_ids: tuple[str, ...] = ()
    twins: tuple[Twins, ...] = ()
    plots: tuple[Plot, ...] = ()


def percent(share: float) -> str:
    """Write a share as people read it."""
    return f"{100 * share:.3g} %"
