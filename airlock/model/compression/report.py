"""The compression report: one HTML page with a picture that needs nothing but itself."""

import base64
from importlib import resources

from airlock.governance.evaluations import Frontier


def render(frontier: Frontier, picture: bytes, title: str) -> bytes:
    """Return the page.

    :param picture: PNG, see :func:`airlock.model.compression.picture.draw`.
    :param title: what was compressed.
    """
    from jinja2 import Environment

    template = resources.files("airlock.model.compression").joinpath("report.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    shown = base64.b64encode(picture).decode()
    return page.render(frontier=frontier, title=title, picture=shown, verdict=verdict).encode()


def verdict(frontier: Frontier, place: int) -> tuple[str, str]:
    """Return what to say of a row, and its class on the page."""
    row = frontier.rows[place]
    if place == 0:
        return "original", ""
    if row.failed:
        return f"failed: {row.failed}", "bad"
    if row.misses:
        return "; ".join(row.misses), "warn"
    return ("picked", "ok") if row.picked else ("passes", "")
