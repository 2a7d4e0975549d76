"""What checks look at: metadata, contents, labels, split, and the version before."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.data.checks.scan import Kind, Scan, kind_of, scan
from airlock.data.similarity.pairs import Pair, Twins, twins
from airlock.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

IMAGES, TEXTS = 0.98, 0.8


class Previous(msgspec.Struct, frozen=True, kw_only=True):
    """The version before.

    :param title: its name and number.
    :param frame: its metadata and labels, one row a sample.
    :param cleaning: its record of cleaning, ``None`` when it has none.
    """

    title: str
    frame: Any
    cleaning: Mapping[str, Any] | None = None


class Subject:
    """A dataset version as the checks see it; contents are read once, and only when a check asks.

    :param frame: one row a sample, ordered by ``sample_id``: label and metadata.
    :param contents: yields (sample id, content) of every sample.
    :param answers: sample id to what its annotators say, by annotator; ``None`` when not known.
    :param split: sample id to split.
    :param cleanings: what cleaned each part of the data, by the part's name.
    """

    def __init__(
        self,
        frame: "pd.DataFrame",
        contents: Callable[[], Iterator[tuple[str, bytes]]],
        *,
        answers: Mapping[str, Mapping[str, str]] | None = None,
        split: Mapping[str, str] | None = None,
        previous: Previous | None = None,
        cleanings: Mapping[str, Mapping[str, Any]] = {},
    ) -> None:
        self.frame = frame
        self.contents = contents
        self.answers = answers
        self.previous = previous
        self.cleanings = cleanings
        self._split = split
        self._near: dict[tuple[int, float], list[Twins]] = {}

    @property
    def rows(self) -> int:
        return len(self.frame)

    @cached_property
    def labels(self) -> Mapping[str, str | None]:
        """Label of every sample; ``None`` when it has none."""
        labels = (label if isinstance(label, str) else None for label in self.frame["label"])
        return dict(zip(self.frame["sample_id"], labels, strict=True))

    @cached_property
    def kind(self) -> Kind:
        """What kind of samples these are."""
        return kind_of(list(self.frame.columns), self.contents)

    @cached_property
    def scan(self) -> Scan:
        """What one pass over all contents found."""
        return scan(self.contents(), self.kind)

    def near(self, distance: int, similarity: float | None) -> Sequence[Twins]:
        """Return the pairs of samples that look or read almost the same.

        :raises UserError: the samples are neither images nor texts.
        """
        limit = similarity or (IMAGES if self.kind == "image" else TEXTS)
        if (distance, limit) not in self._near:
            self._near[distance, limit] = twins(self._pairs(distance, limit), self.scan.ids)
        return self._near[distance, limit]

    def require_split(self) -> Mapping[str, str]:
        """Return the split.

        :raises UserError: none was given, so a check that needs it must not pass.
        """
        if self._split is None:
            raise UserError(
                "The check leakage needs the split.", hint='Give it: `validate(…, split=divided["split"])`.'
            )
        return self._split

    def _pairs(self, distance: int, similarity: float) -> list[Pair]:
        if self.kind == "image":
            from airlock.data.similarity.images import compared, near_images

            return near_images(compared(self.scan.looks), distance, similarity)
        if self.kind == "text":
            from airlock.data.similarity.texts import near_texts

            return near_texts(self.scan.looks, similarity)
        raise UserError(
            f"Near duplicates are found among images and texts; these samples are {self.kind}.",
            hint="Take the check out, or check columns with expectations.",
        )
