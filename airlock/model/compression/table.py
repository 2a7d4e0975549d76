"""Rows of the table: what each file loses against the original, overall and on slices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from airlock.governance.evaluations import WHOLE_SPLIT, Compression, Frontier, Lost, Measured, Row
from airlock.governance.statistics import paired_difference, wilson
from airlock.model.compression.probe import Probed
from airlock.model.evaluation.figures import accuracy
from airlock.model.evaluation.showing import chosen, is_picture, pictures, predictions
from airlock.model.evaluation.slicing import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airlock.model.tensors import Split

TEST, VALIDATION = "test", "validation"


class Held(NamedTuple):
    """A split that models are measured on.

    :param parts: the declared slices' samples.
    """

    split: "Split"
    parts: list[Part]


class Table(NamedTuple):
    """What all rows are measured against.

    :param original: of the file with float32 weights.
    """

    held: dict[str, Held]
    original: Probed

    def row(self, method: str, engine: str, probed: Probed) -> Row:
        """Return the row of a file."""
        test, validation = (self._lost(name, probed) for name in (TEST, VALIDATION))
        return Row(method=method, engine=engine, measured=self.measured(probed), test=test, validation=validation)

    def measured(self, probed: Probed) -> Measured:
        """Return what a file costs, and its test accuracy."""
        return Measured(
            bytes=probed.bytes,
            gzip_bytes=probed.gzip_bytes,
            accuracy=accuracy(probed.answers[TEST], self.held[TEST].split.y),
            p50_ms=probed.costs.p50_ms,
            p99_ms=probed.costs.p99_ms,
            peak_bytes=probed.costs.peak_bytes,
        )

    def compression(self, row: Row, probed: Probed, frontier: Frontier) -> Compression:
        """Return the document about the file that was picked."""
        split, before, after = self.held[TEST].split, self.original.answers[TEST], probed.answers[TEST]
        wrong = (after.argmax(axis=1) != split.y) | (before.argmax(axis=1) != split.y)
        whole, origin = row.test[0], self._lost(TEST, self.original)[0]
        return Compression(
            method=row.method,
            original=self.measured(self.original),
            compressed=self.measured(probed),
            points_lost=whole.points_lost,
            ratio=round(probed.bytes / self.original.bytes, 4),
            intervals={"original": origin.interval, "compressed": whole.interval},
            predictions=predictions(split, after),
            original_predictions=predictions(split, before),
            errors=pictures(split, chosen(wrong, after)) if is_picture(split.x) else {},
            frontier=frontier,
        )

    def _lost(self, name: str, probed: Probed) -> list[Lost]:
        split, parts = self.held[name]
        right, were = (each.answers[name].argmax(axis=1) == split.y for each in (probed, self.original))
        whole = lost(WHOLE_SPLIT, "every sample", right, were)
        return [whole, *_slices(parts, right, were)]


def lost(name: str, rule: str, right: "NDArray[np.bool_]", were: "NDArray[np.bool_]") -> Lost:
    """Compare on the same samples, at least one.

    :param right: which ones are answered right; ``were`` by the original.
    """
    count, hits = len(right), int(right.sum())
    gained, missed = int((right & ~were).sum()), int((were & ~right).sum())
    low, high = paired_difference(gained, missed, count)
    return Lost(
        slice=name,
        rule=rule,
        count=count,
        accuracy=hits / count,
        interval=wilson(hits, count) or (0.0, 1.0),
        points_lost=round(100 * (missed - gained) / count, 6),
        points_interval=(round(-100 * high, 4), round(-100 * low, 4)),
    )


def _slices(parts: Sequence[Part], right: "NDArray[np.bool_]", were: "NDArray[np.bool_]") -> list[Lost]:
    return [
        lost(part.name, part.declared.rule, right[part.members], were[part.members])
        for part in parts
        if part.members.any()
    ]
