"""Cleaners of text: afterwards every one is UTF-8, and long enough."""

import codecs
import re
import unicodedata
from typing import TYPE_CHECKING, Literal

from airlock.data.cleaning.cleaner import Cleaned, Measure, cleaner
from airlock.errors import DataRejected, SourceError

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

Unit = Literal["characters", "words", "bytes"]
MEASURES: dict[str, Measure] = {"characters": "int64", "words": "int64", "lines": "int64"}
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
HANDLER = "airlock-windows-1252"
CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]")  # category Cc, less tab and line breaks


@cleaner(measures=MEASURES, libraries=("ftfy",))
def repair_text(content: bytes, *, max_control: float = 0.05, max_repaired: float = 0.3) -> Cleaned:
    """Make a text valid UTF-8 in normal form NFC, and say everything that had to be done.

    Bytes that are no UTF-8 are read as Windows-1252, one by one, so that files of mixed encodings come out right;
    text that was decoded wrongly before (``Ã©`` for ``é``) is repaired by ``ftfy``; control characters go.

    :param max_control: largest share of control characters, NUL among them; above it is no text.
    :param max_repaired: largest share of bytes that are no UTF-8; above it is in some other encoding, or no text.
    """
    if not content:
        raise SourceError("it has zero bytes")
    text, changes = _decode(content, max_repaired)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        changes.append("line breaks made \\n")
    text = _without_mojibake(text, changes)  # first: it reads some of the control characters as quotation marks
    text = _without_control(text, max_control, changes)
    if (composed := unicodedata.normalize("NFC", text)) != text:
        changes.append("composed to NFC")
        text = composed
    repaired = text.encode()
    if repaired == content:
        return Cleaned(content, measures=_measures(text))
    return Cleaned(repaired, tuple(changes), _measures(text))


@cleaner(measures=MEASURES)
def min_length(content: bytes, *, minimum: int, unit: Unit = "characters") -> Cleaned:
    """Drop what is shorter; blanks around the text do not count.

    :param minimum: in units.
    """
    if (found := _length(content, unit)) < minimum:
        raise DataRejected(f"it has {found} {unit}, less than {minimum}")
    return Cleaned(content, measures=_measures(_text(content)))


@cleaner(measures=MEASURES)
def max_length(content: bytes, *, maximum: int, unit: Unit = "characters") -> Cleaned:
    """Drop what is longer; blanks around the text do not count.

    :param maximum: in units.
    """
    if (found := _length(content, unit)) > maximum:
        raise DataRejected(f"it has {found} {unit}, more than {maximum}")
    return Cleaned(content, measures=_measures(_text(content)))


def _decode(content: bytes, max_repaired: float) -> tuple[str, list[str]]:
    for mark, encoding in MARKS:
        if content.startswith(mark):
            try:
                return content.decode(encoding), [f"decoded from {encoding}"]
            except UnicodeDecodeError as error:
                raise SourceError(f"it begins as {encoding} and is not ({error.reason})") from error
    try:
        return content.decode(), []
    except UnicodeDecodeError:
        return _decode_mixed(content, max_repaired)


def _decode_mixed(content: bytes, max_repaired: float) -> tuple[str, list[str]]:
    counted = 0

    def as_windows(error: UnicodeError) -> tuple[str, int]:
        nonlocal counted
        assert isinstance(error, UnicodeDecodeError)
        wrong = error.object[error.start : error.end]
        counted += len(wrong)
        return wrong.decode("sloppy-windows-1252"), error.end

    import ftfy.bad_codecs  # noqa: F401 - it registers the codec in which every byte means something

    codecs.register_error(HANDLER, as_windows)
    text = content.decode("utf-8", HANDLER)
    if counted > max_repaired * len(content):
        raise SourceError(f"it is no text: {counted} of {len(content)} bytes are no UTF-8")
    return text, [f"{counted} bytes read as Windows-1252"]


def _without_control(text: str, max_control: float, changes: list[str]) -> str:
    found = CONTROL.findall(text)
    if len(found) > max_control * len(text):
        raise SourceError(f"it is no text: {len(found)} of {len(text)} characters are control characters")
    if found:
        text = CONTROL.sub("", text)
        named = ", ".join(f"U+{ord(character):04X}" for character in sorted(set(found)))
        changes.append(f"{len(found)} control characters removed ({named})")
    return text


def _without_mojibake(text: str, changes: list[str]) -> str:
    """Repair line by line: one line may be broken, its neighbours not."""
    if text.isascii():
        return text
    config = _config()
    lines = text.split("\n")
    repaired = [line if line.isascii() else _repair(line, config) for line in lines]
    count = sum(before != after for before, after in zip(lines, repaired, strict=True))
    if not count:
        return text
    example = next(pair for pair in zip(lines, repaired, strict=True) if pair[0] != pair[1])
    changes.append(f"{count} lines of wrongly decoded text repaired ({_difference(*example)})")
    return "\n".join(repaired)


def _config() -> "TextFixerConfig":
    from ftfy import TextFixerConfig

    # Only what was broken: typography, entities and full-width letters are part of the text.
    return TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        remove_control_chars=False,
        normalization=None,
    )


def _repair(line: str, config: "TextFixerConfig") -> str:
    from ftfy import fix_text

    return fix_text(line, config)


def _difference(before: str, after: str) -> str:
    """Show where two lines begin to differ."""
    start = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    return f"{before[start : start + 12]!r} to {after[start : start + 12]!r}"


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"it is no UTF-8 (byte {error.start}); declare repair_text first") from error


def _length(content: bytes, unit: Unit) -> int:
    if unit == "bytes":
        return len(content)
    text = _text(content)
    return len(text.split()) if unit == "words" else len(text.strip())


def _measures(text: str) -> dict[str, int]:
    lines = text.count("\n") + (not text.endswith("\n")) if text else 0
    return {"characters": len(text), "words": len(text.split()), "lines": lines}
