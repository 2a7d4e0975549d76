"""The report of a revision: one HTML page that needs nothing but itself."""

from importlib import resources

from airlock.digests import short
from airlock.governance.revisions import Revision


def render(revision: Revision) -> bytes:
    """Return the page."""
    from jinja2 import Environment

    template = resources.files("airlock.model").joinpath("revision.html").read_text("utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template)
    return page.render(revision=revision, misses=revision.misses, short=short).encode()
