"""The data report: one HTML page with pictures that needs nothing but itself."""

import base64
from collections.abc import Callable, Iterable, Mapping
from importlib import resources

import msgspec

from airlock.data.images import thumbnail
from airlock.data.validation import Check, Verdict

OFFENDERS = 24
SHEET = 10


class Sheet(msgspec.Struct, frozen=True):
    """Sample ids to show under a heading."""

    heading: str
    sample_ids: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True):
    """A picture as the page holds it.

    :param uri: ``data:`` URI of a PNG.
    """

    sample_id: str
    caption: str
    uri: str


class Bar(msgspec.Struct, frozen=True):
    """A class in the balance chart; ``width`` in percent of the largest class."""

    label: str
    count: int
    width: float


def sheets(verdict: Verdict, labels: Mapping[str, str | None]) -> list[Sheet]:
    """Choose what to show: samples that offend, or a random sheet of every class when none does.

    :param labels: label of every sample, by its id.
    """
    if offended := _offended(verdict):
        return [_offenders(check) for check in offended]
    classes: dict[str, list[str]] = {}
    for sample_id in sorted(labels):  # ids are hashes: their order is random, and the same every time
        classes.setdefault(labels[sample_id] or NO_LABEL, []).append(sample_id)
    return [Sheet(name, tuple(ids[:SHEET])) for name, ids in sorted(classes.items())]


NO_LABEL = "(no label)"


def balance(labels: Iterable[str | None]) -> list[Bar]:
    """Count the classes."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label or NO_LABEL] = counts.get(label or NO_LABEL, 0) + 1
    largest = max(counts.values(), default=1)
    return [Bar(label, count, 100 * count / largest) for label, count in sorted(counts.items())]


def render(
    verdict: Verdict,
    title: str,
    labels: Mapping[str, str | None],
    contents: Callable[[list[str]], Mapping[str, bytes]],
) -> bytes:
    """Return the page.

    :param title: names dataset and version.
    :param labels: label of every sample, by its id.
    :param contents: gives the encoded images of some sample ids.
    """
    from jinja2 import Environment

    chosen = sheets(verdict, labels)
    found = contents(sorted({sample_id for sheet in chosen for sample_id in sheet.sample_ids}))
    pictures = [(sheet, [_shown(name, labels, found) for name in sheet.sample_ids]) for sheet in chosen]
    template = resources.files("airlock.data").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    bars = balance(labels.values())
    return page.render(
        verdict=verdict, title=title, bars=bars, pictures=pictures, offending=bool(_offended(verdict))
    ).encode()


def _offended(verdict: Verdict) -> list[Check]:
    return [check for check in verdict.failed if check.sample_ids]


def _offenders(check: Check) -> Sheet:
    shown = f", {OFFENDERS} shown" if len(check.sample_ids) > OFFENDERS else ""
    return Sheet(f"{check.description}: {len(check.sample_ids)} samples{shown}", check.sample_ids[:OFFENDERS])


def _shown(sample_id: str, labels: Mapping[str, str | None], contents: Mapping[str, bytes]) -> Shown:
    uri = "data:image/png;base64," + base64.b64encode(thumbnail(contents[sample_id])).decode()
    return Shown(sample_id, labels.get(sample_id) or NO_LABEL, uri)
