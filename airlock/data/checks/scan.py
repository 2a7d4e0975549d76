"""One pass over all contents: which cannot be decoded, which are the same, and what each looks like in short."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import cpu_count
from typing import Any, Literal

import msgspec

from airlock.data.images import open_image
from airlock.errors import SourceError

Kind = Literal["image", "text", "audio", "rows", "other"]
# A column that a cleaner of this kind leaves.
COLUMNS: dict[str, Kind] = {"mode": "image", "characters": "text", "sample_rate": "audio"}
CHUNK = 256


class Scan(msgspec.Struct, kw_only=True):
    """What was found.

    :param ids: the samples that can be decoded.
    :param equal: of each, a digest of what it shows: the same for the same pixels, or the same words.
    :param looks: of each, a grey copy or the shingles; empty for other kinds.
    :param corrupt: why each of the others cannot be decoded, by sample id.
    """

    ids: list[str]
    equal: list[bytes]
    looks: list[Any]
    corrupt: dict[str, str]


def kind_of(columns: Sequence[str], contents: Callable[[], Iterator[tuple[str, bytes]]]) -> Kind:
    """Tell the kind of samples by what cleaning measured, else by the first content."""
    for name, kind in COLUMNS.items():
        if name in columns:
            return kind
    _, content = next(contents(), ("", b""))
    try:
        open_image(content)
    except SourceError:
        return _text_or_rows(content)
    return "image"


def scan(contents: Iterator[tuple[str, bytes]], kind: Kind) -> Scan:
    """Decode every content, on every core."""
    result = Scan(ids=[], equal=[], looks=[], corrupt={})
    decode = DECODERS[kind]

    def one(item: tuple[str, bytes]) -> tuple[str, bytes, Any] | tuple[str, str]:
        try:
            return item[0], *decode(item[1])
        except SourceError as error:
            return item[0], error.message

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        while chunk := list(islice(contents, CHUNK)):
            for found in pool.map(one, chunk):
                if len(found) == 2:
                    result.corrupt[found[0]] = found[1]
                    continue
                result.ids.append(found[0])
                result.equal.append(found[1])
                result.looks.append(found[2])
    return result


def _image(content: bytes) -> tuple[bytes, Any]:
    from airlock.data.similarity.images import decoded, look

    image = decoded(content)
    shape = f"{image.mode} {image.width} {image.height} ".encode()
    return _digest(shape + image.tobytes()), look(image)


def _text(content: bytes) -> tuple[bytes, Any]:
    from airlock.data.similarity.texts import shingles

    if not content:
        raise SourceError("it has zero bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise SourceError(f"it is no UTF-8 (byte {error.start})") from error
    return _digest(" ".join(text.casefold().split()).encode()), shingles(text)


def _audio(content: bytes) -> tuple[bytes, Any]:
    from airlock.data.cleaning.audio import decode_audio

    decode_audio(content, max_seconds=float("inf"))
    return _digest(content), None


def _row(content: bytes) -> tuple[bytes, Any]:
    try:
        msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceError(f"it is no JSON object ({error})") from error
    return _digest(content), None


def _other(content: bytes) -> tuple[bytes, Any]:
    if not content:
        raise SourceError("it has zero bytes")
    return _digest(content), None


DECODERS: dict[str, Callable[[bytes], tuple[bytes, Any]]] = {
    "image": _image,
    "text": _text,
    "audio": _audio,
    "rows": _row,
    "other": _other,
}


def _text_or_rows(content: bytes) -> Kind:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "other"
    return "rows" if text[:1] == "{" and text[-1:] == "}" else "text"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:16]
