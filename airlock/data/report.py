"""The data report: one HTML page with pictures that needs nothing but itself."""

from collections.abc import Callable, Iterable, Mapping
from importlib import resources

import msgspec

from airlock.data.showing import NO_LABEL, Shown, show
from airlock.data.validation.verdict import Check, Plot, Verdict

OFFENDERS = 24
PAIRS = 12
SHEET = 10
PLOTS = 8


class Sheet(msgspec.Struct, frozen=True):
    """Sample ids to show under a heading; with ``captions``, two by two."""

    heading: str
    sample_ids: tuple[str, ...]
    captions: tuple[str, ...] = ()


class Bar(msgspec.Struct, frozen=True):
    """A bar; widths in percent of the longest one in its chart."""

    label: str
    value: str
    width: float
    before: str = ""
    before_width: float = 0.0


class Chart(msgspec.Struct, frozen=True):
    """Bars under a heading; ``compared`` when each has one of the version before."""

    heading: str
    bars: tuple[Bar, ...]
    compared: bool = False


def sheets(verdict: Verdict, labels: Mapping[str, str | None]) -> list[Sheet]:
    """Choose what to show: samples that offend, or a random sheet of every class when none does.

    :param labels: label of every sample, by its id.
    """
    if offended := _offended(verdict):
        return [_pairs(check) if check.twins else _offenders(check) for check in offended]
    classes: dict[str, list[str]] = {}
    for sample_id in sorted(labels):  # ids are hashes: their order is random, and the same every time
        classes.setdefault(labels[sample_id] or NO_LABEL, []).append(sample_id)
    return [Sheet(name, tuple(ids[:SHEET])) for name, ids in sorted(classes.items())]


def balance(labels: Iterable[str | None]) -> Chart:
    """Count the classes."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label or NO_LABEL] = counts.get(label or NO_LABEL, 0) + 1
    largest = max(counts.values(), default=1)
    bars = (Bar(label, f"{count:,}", 100 * count / largest) for label, count in sorted(counts.items()))
    return Chart("Class balance", tuple(bars))


def charts(verdict: Verdict) -> list[Chart]:
    """Draw what changed since the version before."""
    plots = [plot for check in verdict.checks for plot in check.plots if plot.before]
    return [_compared(plot) for plot in plots[:PLOTS]]


def render(
    verdict: Verdict,
    title: str,
    labels: Mapping[str, str | None],
    contents: Callable[[list[str]], Mapping[str, bytes]],
) -> bytes:
    """Return the page.

    :param title: names dataset and version.
    :param labels: label of every sample, by its id.
    :param contents: gives the contents of some sample ids.
    """
    from jinja2 import Environment

    chosen = sheets(verdict, labels)
    found = contents(sorted({sample_id for sheet in chosen for sample_id in sheet.sample_ids}))
    shown: dict[str, Shown] = {name: show(name, labels.get(name), content) for name, content in found.items()}
    template = resources.files("airlock.data").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return page.render(
        verdict=verdict,
        title=title,
        checks=sorted(verdict.checks, key=lambda check: (check.success, not check.rejects)),
        balance=balance(labels.values()),
        charts=charts(verdict),
        sheets=[(sheet, [shown[name] for name in sheet.sample_ids if name in shown]) for sheet in chosen],
        offending=bool(_offended(verdict)),
    ).encode()


def _offended(verdict: Verdict) -> list[Check]:
    return [check for check in (*verdict.failed, *verdict.warnings) if check.sample_ids]


def _offenders(check: Check) -> Sheet:
    shown = f", {OFFENDERS} shown" if len(check.sample_ids) > OFFENDERS else ""
    return Sheet(f"{check.description}: {len(check.sample_ids)} samples{shown}", check.sample_ids[:OFFENDERS])


def _pairs(check: Check) -> Sheet:
    kept = check.twins[:PAIRS]
    shown = f", {PAIRS} pairs shown" if len(check.twins) > PAIRS else ""
    ids = tuple(name for pair in kept for name in (pair.first, pair.second))
    heading = f"{check.description}: {len(check.sample_ids)} samples{shown}"
    return Sheet(heading, ids, tuple(f"{100 * pair.similarity:.1f} % alike" for pair in kept))


def _compared(plot: Plot) -> Chart:
    longest = max((*plot.now, *plot.before), default=0) or 1
    bars = (
        Bar(name, f"{100 * now:.1f} %", 100 * now / longest, f"{100 * before:.1f} %", 100 * before / longest)
        for name, now, before in zip(plot.names, plot.now, plot.before, strict=True)
    )
    return Chart(plot.title, tuple(bars), compared=True)
