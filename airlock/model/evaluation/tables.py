"""Many models on one dataset version, side by side: what was claimed for each against what was measured."""

from collections.abc import Iterable, Sequence
from importlib import resources

import msgspec

from airlock.digests import PREFIX, short
from airlock.errors import UserError
from airlock.governance.evaluations import WHOLE_SPLIT, Interval, Measurement
from airlock.references import DatasetVersion

ORDER = ("accuracy", "macro_f1", "log_loss", "brier", "ece")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is put into a table.

    :param model: digest of it, or the beginning of it.
    :param claimed: figures by name, from its manifest and its card.
    """

    title: str
    model: str
    claimed: dict[str, float] = {}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one model; ``claimed`` is ``None`` where nothing was claimed."""

    name: str
    measured: float
    interval: Interval | None
    claimed: float | None = None

    @property
    def differs(self) -> bool:
        """Whether what was claimed lies outside the measured interval."""
        if self.claimed is None or self.interval is None:
            return False
        return not self.interval[0] <= self.claimed <= self.interval[1]

    @property
    def text(self) -> str:
        """The figure with its interval."""
        within = f" ({self.interval[0]:.4f}–{self.interval[1]:.4f})" if self.interval else ""
        return f"{self.measured:.4f}{within}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model; without cells when it was never measured on this."""

    subject: Subject
    measurement: Measurement | None
    cells: list[Cell]


def table(
    subjects: Iterable[Subject], measurements: Sequence[Measurement], dataset: str, slice_name: str = WHOLE_SPLIT
) -> list[Row]:
    """Put models side by side, on the same version of a dataset and the same slice.

    :param measurements: of whatever models and data.
    :param dataset: its name, for the newest version that was measured; ``NAME@VERSION``; or the beginning of a digest.
    :raises UserError: nothing was measured on it.
    """
    found = [each for each in measurements if each.slice == slice_name and each.split == "test" and each.count]
    version = _version(dataset, [each.dataset for each in found if each.dataset])
    here = sorted((each for each in found if each.dataset == version), key=lambda each: each.time)
    return [_row(subject, here) for subject in subjects]


def render(rows: list[Row], title: str) -> bytes:
    """Return the table as a page."""
    from jinja2 import Environment

    template = resources.files("airlock.model.evaluation").joinpath("table.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return page.render(rows=rows, title=title, names=names(rows)).encode()


def names(rows: list[Row]) -> list[str]:
    """Return the names of the figures in a table, the usual ones first."""
    known = {cell.name for row in rows for cell in row.cells}
    return [name for name in ORDER if name in known] + sorted(known - set(ORDER))


def _row(subject: Subject, here: list[Measurement]) -> Row:
    own = [each for each in here if each.model.removeprefix(PREFIX).startswith(subject.model.removeprefix(PREFIX))]
    if not own:
        return Row(subject=subject, measurement=None, cells=[])
    newest = own[-1]
    cells = [
        Cell(name=name, measured=value, interval=newest.intervals.get(name), claimed=subject.claimed.get(name))
        for name, value in newest.figures.items()
    ]
    return Row(subject=subject, measurement=newest, cells=cells)


def _version(wanted: str, known: list[DatasetVersion]) -> DatasetVersion:
    name, _, number = wanted.partition("@")
    fitting = [each for each in known if each.name == name and number in ("", str(each.version))]
    fitting += [each for each in known if each.digest.removeprefix(PREFIX).startswith(wanted.removeprefix(PREFIX))]
    if not fitting:
        there = sorted({f"{each.name}@{each.version} ({short(each.digest)})" for each in known})
        raise UserError(
            f"Nothing was measured on {wanted!r}.",
            hint=f"There is {', '.join(there)}." if there else "Run a use case's evaluate task.",
        )
    return max(fitting, key=lambda each: each.version)
