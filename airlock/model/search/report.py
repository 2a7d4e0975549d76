"""The search report: one HTML page with pictures that needs nothing but itself."""

import base64
from collections.abc import Mapping
from importlib import resources

from airlock.governance.searches import SearchSummary

CAPTIONS = {
    "history": "Each complete trial's value, and the best so far.",
    "curves": "Every trial, epoch by epoch.",
    "importance": "How much of the differences between trials each parameter explains.",
    "slices": "What was tried where: complete blue, stopped grey, failed red.",
}


def render(summary: SearchSummary, pictures: Mapping[str, bytes], urls: Mapping[int, str]) -> bytes:
    """Return the page.

    :param pictures: PNG by name, see :func:`airlock.model.search.pictures.draw`.
    :param urls: by a trial's number, its page in MLflow.
    """
    from jinja2 import Environment

    template = resources.files("airlock.model.search").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    sign = 1 if summary.direction == "minimize" else -1
    ordered = sorted(summary.trials, key=lambda trial: (trial.value is None, sign * (trial.value or 0.0), trial.number))
    shown = [(CAPTIONS[name], base64.b64encode(png).decode()) for name, png in pictures.items()]
    return page.render(summary=summary, trials=ordered, pictures=shown, urls=urls, short=_short).encode()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
