"""The split: a sample's place follows from its own id, so old samples never move when new ones arrive."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping

from airlock.errors import DataRejected, UserError

SPLITS = ("train", "validation", "test")


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Check that fractions are a split.

    :raises UserError: another name, a negative share, no training share, or a sum that is not 1.
    """
    wrong = sorted(fractions.keys() - set(SPLITS))
    if wrong:
        raise UserError(f"fractions names {', '.join(wrong)}.", hint=f"The splits are {', '.join(SPLITS)}.")
    if min(fractions.values(), default=0) < 0 or not fractions.get("train"):
        raise UserError(f"fractions {dict(fractions)} leave no training share, or one is negative.", hint=EXAMPLE)
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise UserError(f"fractions {dict(fractions)} sum to {total:g}, not 1.", hint=EXAMPLE)


EXAMPLE = 'For example {"train": 0.7, "validation": 0.15, "test": 0.15}.'


def position(sample_id: str, salt: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the sample and the salt."""
    head = hashlib.sha256(f"{salt}:{sample_id}".encode()).digest()[:7]
    # 53 of the 56 bits: what a float holds exactly.
    return (int.from_bytes(head, "big") >> 3) / (1 << 53)


def assign(sample_id: str, source_split: str | None, fractions: Mapping[str, float], salt: str) -> str:
    """Return a sample's split. The source's own test samples are test, its training samples never are."""
    if source_split == "test":
        return "test"
    train, validation = fractions["train"], fractions.get("validation", 0.0)
    place = position(sample_id, salt)
    never_test = source_split == "train" or not fractions.get("test")
    if never_test:
        place *= train + validation
    if place < train or (never_test and not validation):
        return "train"
    return "validation" if never_test or place < train + validation else "test"


def split(
    samples: Iterable[tuple[str, str | None]], fractions: Mapping[str, float], salt: str
) -> tuple[list[str], dict[str, int]]:
    """Assign every sample.

    :param samples: (sample id, the source's own split) of each.
    :return: the splits in the same order, and how many samples each got.
    :raises DataRejected: a split that should have samples got none.
    """
    check_fractions(fractions)
    assigned = [assign(sample_id, source_split, fractions, salt) for sample_id, source_split in samples]
    counts = Counter(assigned)
    empty = [name for name in SPLITS if fractions.get(name) and not counts[name]]
    if empty:
        raise DataRejected(
            f"{len(assigned)} samples leave the split {', '.join(empty)} empty.",
            hint="Bring more samples, or change the fractions.",
        )
    return assigned, {name: counts[name] for name in SPLITS}
