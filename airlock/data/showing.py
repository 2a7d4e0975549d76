"""A sample as a page can show it: an image as a thumbnail, a text as an excerpt, anything else by its size."""

import base64

import msgspec

from airlock.data.images import thumbnail
from airlock.errors import SourceError

NO_LABEL = "(no label)"
EXCERPT = 400


class Shown(msgspec.Struct, frozen=True):
    """A sample as the page holds it.

    :param uri: ``data:`` URI of a PNG; empty for what is no image.
    :param text: an excerpt, or what can be said about it.
    """

    sample_id: str
    caption: str
    uri: str = ""
    text: str = ""


def show(sample_id: str, label: str | None, content: bytes) -> Shown:
    """Return a sample's thumbnail or excerpt; a sample that cannot be decoded is shown as that."""
    caption = label or NO_LABEL
    try:
        uri = "data:image/png;base64," + base64.b64encode(thumbnail(content)).decode()
    except SourceError as error:
        return Shown(sample_id, caption, text=_excerpt(content) or error.message)
    return Shown(sample_id, caption, uri=uri)


def _excerpt(content: bytes) -> str:
    """Return the beginning of a text, empty when it is none."""
    start = content[: EXCERPT * 4].decode("utf-8", "replace")
    wrong = sum(character == "\ufffd" or not (character.isprintable() or character.isspace()) for character in start)
    if not start or wrong > len(start) / 20:
        return ""
    return start[:EXCERPT] + ("…" if len(start) > EXCERPT else "")
