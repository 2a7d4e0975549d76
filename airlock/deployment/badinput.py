"""Requests a server must refuse, each with the status it must answer and without harm to the next request."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from airlock.deployment.config import PackageConfig, Sample
from airlock.deployment.forms import request_of
from airlock.deployment.inputs import AnyInput, ImageInput, TextInput

DATATYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FP32"}
"""Name in the Open Inference Protocol of each type that a package takes."""


class BadInput(msgspec.Struct, frozen=True, kw_only=True):
    """One request and the status it must be answered with."""

    name: str
    path: str
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    method: str = "POST"


def cases(
    config: PackageConfig, sample: Sample, sent: Mapping[str, bytes], tensors: Mapping[str, NDArray[Any]]
) -> list[BadInput]:
    """Return all of them.

    :param sample: one that the server accepts; ``sent`` what it sends, ``tensors`` what becomes of it, by input.
    """
    wrong = [bad for expected in config.inputs for bad in _payloads(config, expected, sample, sent)]
    return [*_tensors(config, tensors), *wrong, *_requests(config, sample, sent)]


def v2_tensor(name: str, batch: NDArray[Any]) -> dict[str, Any]:
    """Return a batch as the Open Inference Protocol writes it in JSON."""
    datatype = DATATYPES[str(batch.dtype)]
    return {"name": name, "datatype": datatype, "shape": list(batch.shape), "data": batch.ravel().tolist()}


def png_header(width: int, height: int) -> bytes:
    """Return a small PNG that claims a size and holds one row of pixels at most."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _tensors(config: PackageConfig, tensors: Mapping[str, NDArray[Any]]) -> list[BadInput]:
    path = f"/v2/models/{config.name}/infer"
    first, *others = (v2_tensor(name, tensor[np.newaxis]) for name, tensor in tensors.items())
    shape, data = first["shape"][1:], first["data"]
    integers: dict[str, dict[str, Any]] = {
        "fractions": {"data": [0.5] * len(data)},
        "values out of range": {"data": [1 << 40] * len(data)},
    }
    changes: dict[str, dict[str, Any]] = {
        "wrong shape": {"shape": [1, shape[0] + 1, *shape[1:]]} if shape else {"shape": [1, 2]},
        "no shape": {"shape": []},
        "negative shape": {"shape": [-1, *shape]},
        "too large a batch": {"shape": [config.limits.batch + 1, *shape]},
        "wrong datatype": {"datatype": "FP64"},
        "wrong name": {"name": "something"},
        "too few values": {"data": data[:-1]},
        "words": {"data": ["0"] * len(data)},
        "ragged rows": {"data": [[0, 1], [2]]},
    }
    if first["datatype"] != "FP32":
        changes |= integers
    good = _infer([first, *others])
    bodies = {name: _infer([first | change, *others]) for name, change in changes.items()}
    bodies["NaN"] = good.replace(b'"data": [', b'"data": [NaN, ', 1)
    bodies["broken JSON"] = good[:-2]
    bodies["no JSON"] = b"\xff\xfe"
    bodies["no inputs"] = b'{"inputs": []}'
    bodies["endless nesting"] = b'{"inputs": ' + b"[" * 100_000
    if others:
        bodies["an input less"] = _infer([first])
    kind = {"Content-Type": "application/json"}
    refused = [BadInput(name=name, path=path, status=400, body=body, headers=kind) for name, body in bodies.items()]
    text = {"Content-Type": "text/plain"}
    return [
        *refused,
        BadInput(name="unknown model", path="/v2/models/nobody/infer", status=404, body=good, headers=kind),
        BadInput(name="tensor as text", path=path, status=415, body=good, headers=text),
        BadInput(name="inference by GET", path=path, status=405, method="GET"),
    ]


def _payloads(config: PackageConfig, expected: AnyInput, sample: Sample, sent: Mapping[str, bytes]) -> list[BadInput]:
    """Return predictions of which one input is wrong."""
    found = []
    for name, data in _wrong(expected, sent[expected.name]).items():
        body, kind = request_of({**sent, expected.name: data}, sample.types)
        # A limit of the input is met by the server as one of the input, unless the body's comes first.
        status = 413 if len(body) > config.limits.body_bytes else 422
        found.append(
            BadInput(
                name=f"{expected.name}: {name}",
                path="/predict",
                status=status,
                body=body,
                headers={"Content-Type": kind},
            )
        )
    return found


def _wrong(expected: AnyInput, good: bytes) -> dict[str, bytes]:
    if isinstance(expected, ImageInput):
        return {
            "not an image": b"<html>not an image</html>",
            "zero bytes": b"",
            "truncated image": good[: len(good) // 2],
            "decompression bomb": png_header(50_000, 50_000),
            "one side too long": png_header(expected.limits.side + 1, 1),
        }
    if isinstance(expected, TextInput):
        too_long = b"a" * (expected.max_characters + 1)
        return {"zero bytes": b"", "spaces alone": b" \n", "not UTF-8": b"\xff\xfe\xfa", "text too long": too_long}
    return {"zero bytes": b"", "not a tensor": b"<html>", "truncated tensor": good[: len(good) // 2]}


def _requests(config: PackageConfig, sample: Sample, sent: Mapping[str, bytes]) -> list[BadInput]:
    body, kind = request_of(sent, sample.types)
    large = body + b"\0" * config.limits.body_bytes

    def case(name: str, status: int, body: bytes, content_type: str) -> BadInput:
        return BadInput(name=name, path="/predict", status=status, body=body, headers={"Content-Type": content_type})

    return [
        case("wrong MIME type", 415, body, "text/html"),
        case("body too large", 413, large, kind),
        case("broken form", 400, b"--x\r\nno form", "multipart/form-data; boundary=x"),
        case("form without a file", 400, _form(b"words"), "multipart/form-data; boundary=x"),
        BadInput(name="prediction by GET", path="/predict", status=405, method="GET"),
        BadInput(name="unknown path", path="/nowhere", status=404, method="GET"),
    ]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _form(value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + value + b"\r\n--x--\r\n"


def _infer(tensors: list[dict[str, Any]]) -> bytes:
    return json.dumps({"inputs": tensors}).encode()
