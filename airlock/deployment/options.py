"""How a model server behaves, as whoever runs the host wants it: one JSON file, ``--options`` or ``AIRLOCK_SERVER``."""

from pathlib import Path
from typing import Annotated

import msgspec

from airlock.errors import UserError

Positive = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of the file; every field may be left away.

    :param batch: rows that are computed together at most, fewer where that is faster; 1 turns dynamic batching off.
    :param delay_us: microseconds that the first row of a batch waits for others.
    :param threads: CPU threads of one inference.
    :param queue: requests that may be in the server; further ones are answered 429.
    :param buffered_bytes: bytes of request bodies that may be in memory; likewise.
    :param timeout: seconds until a request is answered 503 because the model did not answer; likewise ``body_seconds``
        until a body must have arrived (408) and ``drain_seconds`` until a stopped server waits for nobody any more.
    :param keys: file with the API keys' digests; nobody needs a key without it.
    :param payload_share: share of the predictions whose input is kept.
    :param spool_bytes: bytes that predictions may take on disk until they are in the scoring store.
    :param allowed_hosts: names from which inputs may be fetched by URL although their addresses are private.
    :param fetch_seconds: until an input given by URL must be here.
    :param large_values: numbers in an answer from which on it is an HDF5 file, by URL, instead.
    :param outputs_bytes: bytes that such files may take; ``outputs_seconds`` how long each is there.
    """

    batch: Positive = 32
    delay_us: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    threads: Positive = 1
    queue: Positive = 256
    buffered_bytes: Positive = 256 << 20
    timeout: Seconds = 30.0
    body_seconds: Seconds = 20.0
    drain_seconds: Seconds = 5.0
    keys: str = ""
    payload_share: Share = 0.01
    spool_bytes: Positive = 256 << 20
    allowed_hosts: list[str] = []
    fetch_seconds: Seconds = 10.0
    large_values: Positive = 65_536
    outputs_bytes: Positive = 256 << 20
    outputs_seconds: Seconds = 600.0


def read_options(path: str) -> Options:
    """Read the file; the defaults when there is no path.

    :raises UserError: it cannot be read or is not valid.
    """
    if not path:
        return Options()
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Options)
    except OSError as error:
        raise UserError(
            f"The server's options {path} cannot be read: {error.strerror}.", hint="Correct AIRLOCK_SERVER."
        ) from error
    except msgspec.MsgspecError as error:
        raise UserError(f"The server's options {path} are not valid: {error}.", hint="See docs/serving.md.") from error
