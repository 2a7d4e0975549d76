"""The checks there are, and their figures. A use case declares them as ``{"check": name, figures}``."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec

from airlock.errors import UserError

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Leak = Literal["content", "near_duplicate", "group"]


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="check"):
    """Root of the checks.

    :param severity: ``critical`` rejects the data, ``warning`` is shown.
    :param notes: what people read instead of the check's own words.
    """

    severity: Literal["warning", "critical"] = "critical"
    notes: str = ""


class CorruptFiles(Declared, frozen=True, tag="corrupt_files"):
    """Samples whose content cannot be decoded completely."""

    max_share: Share = 0.0


class ExactDuplicates(Declared, frozen=True, tag="exact_duplicates"):
    """Samples with the same pixels, or the same words whatever their blanks and case, in different bytes."""

    max_share: Share = 0.0


class NearDuplicates(Declared, frozen=True, tag="near_duplicates"):
    """Samples that look or read almost the same.

    :param distance: bits of 64 in which the perceptual hashes of two images may differ.
    :param similarity: least correlation of two images' small copies (0.98), or least share of three-word runs that
        two texts have in common (0.8).
    """

    max_share: Share = 0.01
    distance: Annotated[int, msgspec.Meta(ge=0, le=11)] = 10
    similarity: Share | None = None


class Leakage(Declared, frozen=True, tag="leakage"):
    """Samples of one split that another split knows already: the same content, nearly the same, or the same group."""

    by: tuple[Leak, ...] = get_args(Leak)
    max_share: Share = 0.0
    distance: Annotated[int, msgspec.Meta(ge=0, le=11)] = 10
    similarity: Share | None = None


class ClassBalance(Declared, frozen=True, tag="class_balance"):
    """How often each class occurs.

    :param classes: those there must be; by default those that occur.
    :param max_ratio: of the most frequent to the rarest; 0 for any.
    """

    classes: tuple[str, ...] = ()
    min_count: int = 1
    min_share: Share = 0.0
    max_ratio: float = 0.0


class LabelConsensus(Declared, frozen=True, tag="label_consensus"):
    """Whether annotators agree.

    :param min_share: of the samples with several answers, how many must have one label from everybody.
    :param min_answers: answers that a sample must have to count.
    :param min_covered: share of all samples that must count.
    """

    min_share: Share = 0.8
    min_answers: Annotated[int, msgspec.Meta(ge=2)] = 2
    min_covered: Share = 0.0


class Drift(Declared, frozen=True, tag="drift"):
    """Whether metadata and labels are distributed as in the version before.

    A column drifts when a test (Kolmogorov-Smirnov for numbers, chi-squared for words) says it is no accident, and
    the population stability index says that it matters.

    :param columns: of the metadata, ``label`` among them; by default all that can be compared.
    :param max_psi: population stability index; 0.1 is a small change, 0.25 a large one.
    :param alpha: probability of calling an accident a drift, over all columns together.
    """

    columns: tuple[str, ...] = ()
    max_psi: float = 0.2
    alpha: float = 0.01


class SameCleaning(Declared, frozen=True, tag="same_cleaning"):
    """Whether all parts, and the version before, were cleaned by the same code with the same parameters.

    :param previous: whether another cleaning than that of the version before counts.
    """

    previous: bool = False


AnyCheck = (
    CorruptFiles | ExactDuplicates | NearDuplicates | Leakage | ClassBalance | LabelConsensus | Drift | SameCleaning
)
NAMES = tuple(kind.__struct_config__.tag for kind in get_args(AnyCheck))


def decode_checks(declared: Sequence[Mapping[str, Any]]) -> list[AnyCheck]:
    """Parse declared checks.

    :raises UserError: a check or a figure of it is unknown or out of range.
    """
    return [_decode(dict(entry)) for entry in declared]


def _decode(entry: dict[str, Any]) -> AnyCheck:
    try:
        return msgspec.convert(entry, AnyCheck)  # type: ignore[no-any-return]
    except msgspec.ValidationError as error:
        raise UserError(
            f"The check {entry} cannot be used: {error}.",
            hint=f'Write it as {{"check": "near_duplicates", "max_share": 0.01}}; checks: {", ".join(NAMES)}.',
        ) from error
