"""Markdown that no author of a DAG can write into: whatever came with a manifest stands in a code span.

In a code span nothing is a link, an image, HTML or emphasis, and nothing but a backtick ends it. A table's cell ends at
a pipe even there, and a paragraph at a line break; these three are replaced, and so is what no one can see.
"""

import re
import unicodedata

from airlock.digests import PREFIX, short

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*")
DIGEST = re.compile(f"{PREFIX}[0-9a-f]{{64}}")
REPLACED = str.maketrans({"`": "'", "|": "¦"})
LONGEST = 60


def code(text: str, longest: int = LONGEST) -> str:
    """Return text that came with a manifest, as a code span on one line."""
    line = " ".join(text[: 4 * longest].split())  # no text is so long that it keeps the API server busy
    shown = "".join("\ufffd" if unicodedata.category(sign) in ("Cc", "Cf", "Co", "Cs") else sign for sign in line)
    shown = shown.translate(REPLACED)
    if len(shown) > longest or len(text) > 4 * longest:
        shown = shown[: longest - 1] + "…"
    return f"`{shown}`" if shown else "`(empty)`"


def word(text: str) -> str:
    """Return a name as it is when it is a plain identifier, else as a code span."""
    return text if len(text) <= LONGEST and IDENTIFIER.fullmatch(text) else code(text)


def figure(value: float | None, sign: str = "") -> str:
    """Return a number as people read it; a dash for one that is not known.

    :param sign: ``+`` for a difference.
    """
    if value is None:
        return "–"
    whole = float(value).is_integer() and (isinstance(value, int) or abs(value) >= 1000)
    return f"{value:{sign},.0f}" if whole else f"{value:{sign}.4g}"


def link(links: str, title: str, digest: str) -> str:
    """Return a link to an artifact; only the title when the digest is none.

    :param links: path of the Airflow UI.
    """
    return f"[{title}]({links}/airlock/artifacts/{digest})" if DIGEST.fullmatch(digest) else title


def named(links: str, digest: str) -> str:
    """Return a link that shows the digest's first digits."""
    return link(links, code(short(digest)), digest)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])
