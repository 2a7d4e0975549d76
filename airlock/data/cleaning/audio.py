"""Cleaners of audio."""

import io

from airlock.data.cleaning.cleaner import Cleaned, cleaner
from airlock.errors import SourceError

FRAMES = 1 << 16


@cleaner(
    measures={"seconds": "double", "sample_rate": "int32", "channels": "int32", "peak": "double", "rms": "double"},
    libraries=("numpy", "soundfile"),
)
def decode_audio(
    content: bytes,
    *,
    sample_rate: int = 0,
    channels: int = 0,
    min_seconds: float = 0.0,
    max_seconds: float = 3600.0,
) -> Cleaned:
    """Decode an audio file (WAV, FLAC, Ogg, MP3, …) completely and keep it as it is, or drop it.

    The header is checked before anything is decoded.

    :param sample_rate: Hz; any by default.
    :param channels: 1 is mono; any by default.
    :param min_seconds: the shortest there may be, likewise ``max_seconds``.
    """
    import soundfile

    if not content:
        raise SourceError("it has zero bytes")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_header(file.samplerate, file.channels, sample_rate, channels)
            _check_length(file.frames / file.samplerate, min_seconds, max_seconds)
            found = _measure(file, _declared(content))
    except soundfile.LibsndfileError as error:
        raise SourceError(f"it is not a readable audio file ({error.error_string.rstrip('.')})") from error
    return Cleaned(content, measures=found)


def _check_header(found_rate: int, found_channels: int, sample_rate: int, channels: int) -> None:
    if sample_rate and found_rate != sample_rate:
        raise SourceError(f"its sample rate is {found_rate} Hz, not {sample_rate}")
    if channels and found_channels != channels:
        raise SourceError(f"it has {found_channels} channels, not {channels}")


def _check_length(seconds: float, min_seconds: float, max_seconds: float) -> None:
    if seconds < min_seconds:
        raise SourceError(f"it lasts {seconds:g} s, less than min_seconds={min_seconds:g}")
    if seconds > max_seconds:
        raise SourceError(f"it lasts {seconds:g} s, more than max_seconds={max_seconds:g}")


def _declared(content: bytes) -> int:
    """Return how long a RIFF file says it is, 0 for other formats: libsndfile takes a shorter one in silence."""
    return int.from_bytes(content[4:8], "little") + 8 - len(content) if content[:4] == b"RIFF" else 0


def _measure(file: "object", missing: int) -> dict[str, float | int]:
    import numpy as np

    if missing > 1:  # one byte is the padding that many writers forget
        raise SourceError(f"it is cut short: {missing} bytes are missing")
    peak, squares, done = 0.0, 0.0, 0
    for block in file.blocks(FRAMES, dtype="float32", always_2d=True):  # type: ignore[attr-defined]
        if not np.isfinite(block).all():
            raise SourceError("it holds NaN or infinite samples")
        peak = max(peak, float(np.abs(block).max(initial=0)))
        squares += float(np.square(block, dtype=np.float64).sum())
        done += len(block)
    rate, channels, frames = file.samplerate, file.channels, file.frames  # type: ignore[attr-defined]
    if done < frames or not done:
        raise SourceError(f"it is cut short: {done} of {frames} frames can be decoded")
    rms = (squares / (done * channels)) ** 0.5
    return {"seconds": done / rate, "sample_rate": rate, "channels": channels, "peak": peak, "rms": rms}
