"""Streams that belong together: every key in every stream, all of one size, each of the mode that was declared."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from airlock.errors import SourceError, UserError

if TYPE_CHECKING:
    from airlock.data.sources.source import Samples

NAMED = 20
NPY = b"\x93NUMPY"


class StreamRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stream's contents must be.

    :param modes: Pillow's modes (``L``, ``RGB``, ``I;16``), or dtypes of ``.npy`` arrays (``float32``); empty for any.
    :param aligned: width and height must be those of the primary stream. ``false`` for what is no picture at all.
    """

    modes: tuple[str, ...] = ()
    aligned: bool = True


class Shape(msgspec.Struct, frozen=True):
    """Pixels, and the mode or dtype they are stored in."""

    width: int
    height: int
    mode: str


class KeyPattern:
    """What two streams know a sample by: the groups of a regular expression on the path inside the source.

    :param pattern: with one group at least, for example ``(\\d+)_\\w+\\.png``.
    :raises UserError: it is no regular expression, or has no group.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self.expression = re.compile(pattern)
        except re.error as error:
            raise UserError(f"The key {pattern!r} is no regular expression: {error}.", hint=EXAMPLE) from error
        if not self.expression.groups:
            raise UserError(f"The key {pattern!r} has no group.", hint=EXAMPLE)

    def places(self, stream: str, paths: Iterable[str]) -> dict[str, int]:
        """Return the place of each key of a stream.

        :raises SourceError: a key is there twice, or the pattern does not match every path.
        """
        found: dict[str, int] = {}
        named, unmatched = list(paths), []
        for place, path in enumerate(named):
            match = self.expression.search(path)
            if match is None:
                unmatched.append(path)
                continue
            key = "/".join(group or "" for group in match.groups())
            if key in found:
                raise SourceError(
                    f"The stream {stream} has the key {key!r} twice: {named[found[key]]} and {path}.",
                    hint="Take the copy away, or let the key's groups hold what tells them apart.",
                )
            found[key] = place
        if unmatched:
            raise SourceError(
                f"The key {self.expression.pattern!r} matches {len(named) - len(unmatched)} of {len(named)} paths of "
                f"the stream {stream}; not {listed(unmatched)}.",
                hint=EXAMPLE,
            )
        return found


EXAMPLE = (
    r"A key is a pattern with a group for what the streams share: '(\d+)\.png$' for rgb/0001.png and mask/0001.png."
)


def missing_streams(keys: Mapping[str, Mapping[str, int]]) -> dict[str, list[str]]:
    """Return the streams that lack a key, by key; keys that all have are left out.

    :param keys: stream to its keys.
    """
    every = sorted(set().union(*keys.values()))
    lacking = {key: [stream for stream, known in keys.items() if key not in known] for key in every}
    return {key: streams for key, streams in lacking.items() if streams}


def paths_of(samples: "Samples") -> list[str]:
    """Return the path of each sample; contents are read only where a source cannot list."""
    from airlock.data.sources.source import Listed

    if isinstance(samples, Listed):
        return [item.name for item in samples.items]
    return [samples[index].source for index in range(len(samples))]


def check_aligned(key: str, contents: Mapping[str, bytes], primary: str, rules: Mapping[str, StreamRule]) -> None:
    """Check modes and sizes of one sample's streams.

    :raises SourceError: one cannot be decoded, has another mode than declared, or another size than the primary.
    """
    shapes = {name: shape_of(key, name, contents[name]) for name, rule in rules.items() if rule.aligned or rule.modes}
    for name, shape in shapes.items():
        if rules[name].modes and shape.mode not in rules[name].modes:
            raise SourceError(
                f"Sample {key}: the stream {name} is {shape.mode}, not {' or '.join(rules[name].modes)}.",
                hint="Convert it, or correct the stream's modes.",
            )
        same = shapes[primary] if rules[name].aligned and primary in shapes else shape
        if (shape.width, shape.height) != (same.width, same.height):
            raise SourceError(
                f"Sample {key}: the stream {name} is {shape.width}x{shape.height} pixels, "
                f"{primary} is {same.width}x{same.height}.",
                hint="Bring all streams of a sample to one size, or declare the stream as not aligned.",
            )


def shape_of(key: str, stream: str, content: bytes) -> Shape:
    """Decode a picture or ``.npy`` array (height, width, …) and say what it is.

    :raises SourceError: it cannot be decoded.
    """
    from airlock.data.images import measure, open_image

    try:
        if content.startswith(NPY):
            return _array_shape(content)
        picture = measure(open_image(content))
    except SourceError as error:
        raise SourceError(
            f"Sample {key}: the stream {stream} cannot be used: {error.message}.", hint="Fetch or make the file again."
        ) from error
    return Shape(picture.width, picture.height, picture.mode)


def _array_shape(content: bytes) -> Shape:
    import numpy as np

    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise SourceError(f"it is a damaged .npy file ({error})") from error
    if array.ndim < 2:
        raise SourceError(f"it is an array of {array.ndim} dimensions, not (height, width, …)")
    return Shape(array.shape[1], array.shape[0], array.dtype.name)


def listed(names: Iterable[str]) -> str:
    """Return the first names for a message."""
    every = list(names)
    return ", ".join(every[:NAMED]) + (f" and {len(every) - NAMED} more" if len(every) > NAMED else "")
