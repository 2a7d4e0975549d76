"""Requests a server must refuse, each with the status it must answer and without harm to the next request."""

import json
import struct
import zlib
from typing import Any

import msgspec

from airlock.deployment.config import PackageConfig


class BadInput(msgspec.Struct, frozen=True, kw_only=True):
    """One request and the status it must be answered with."""

    name: str
    path: str
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    method: str = "POST"


def cases(config: PackageConfig, image: bytes) -> list[BadInput]:
    """Return all of them.

    :param image: an encoded image that the server accepts.
    """
    return [*_tensors(config), *_images(config, image)]


def _tensors(config: PackageConfig) -> list[BadInput]:
    path = f"/v2/models/{config.name}/infer"
    height, width, channels = config.inputs[0].shape
    count = height * width * channels
    good: dict[str, Any] = {
        "name": config.inputs[0].name,
        "datatype": "UINT8",
        "shape": [1, height, width, channels],
        "data": [0] * count,
    }
    changes: dict[str, dict[str, Any]] = {
        "wrong shape": {"shape": [1, height + 1, width, channels]},
        "no shape": {"shape": []},
        "negative shape": {"shape": [-1, height, width, channels]},
        "too large a batch": {"shape": [config.limits.batch + 1, height, width, channels]},
        "wrong datatype": {"datatype": "FP64"},
        "wrong name": {"name": "something"},
        "too few values": {"data": [0] * (count - 1)},
        "fractions": {"data": [0.5] * count},
        "words": {"data": ["0"] * count},
        "values above 255": {"data": [256] * count},
        "ragged rows": {"data": [[0, 1], [2]]},
    }
    bodies = {name: _request(good | change) for name, change in changes.items()}
    bodies["NaN"] = _request(good).replace(b'"data": [0', b'"data": [NaN')
    bodies["broken JSON"] = _request(good)[:-2]
    bodies["no JSON"] = b"\xff\xfe"
    bodies["no inputs"] = b'{"inputs": []}'
    bodies["endless nesting"] = b'{"inputs": ' + b"[" * 100_000
    kind = {"Content-Type": "application/json"}
    refused = [BadInput(name=name, path=path, status=400, body=body, headers=kind) for name, body in bodies.items()]
    return [
        *refused,
        BadInput(name="unknown model", path="/v2/models/nobody/infer", status=404, body=_request(good), headers=kind),
        BadInput(
            name="tensor as text", path=path, status=415, body=_request(good), headers={"Content-Type": "text/plain"}
        ),
        BadInput(name="inference by GET", path=path, status=405, method="GET"),
    ]


def _images(config: PackageConfig, image: bytes) -> list[BadInput]:
    kind = config.inputs[0].mime_types[0]
    limits = config.inputs[0].limits

    def case(name: str, status: int, body: bytes, content_type: str = kind) -> BadInput:
        return BadInput(name=name, path="/predict", status=status, body=body, headers={"Content-Type": content_type})

    return [
        case("wrong MIME type", 415, image, "text/html"),
        case("not an image", 422, b"<html>not an image</html>"),
        case("zero bytes", 422, b""),
        case("truncated image", 422, image[: len(image) // 2]),
        case("decompression bomb", 422, png_header(50_000, 50_000)),
        case("one side too long", 422, png_header(limits.side + 1, 1)),
        case("body too large", 413, image + b"\0" * config.limits.body_bytes),
        case("broken form", 400, b"--x\r\nno form", "multipart/form-data; boundary=x"),
        case("form without a file", 400, _form(b"words"), "multipart/form-data; boundary=x"),
        BadInput(name="prediction by GET", path="/predict", status=405, method="GET"),
        BadInput(name="unknown path", path="/nowhere", status=404, method="GET"),
    ]


def png_header(width: int, height: int) -> bytes:
    """Return a small PNG that claims a size and holds one row of pixels at most."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _form(value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + value + b"\r\n--x--\r\n"


def _request(tensor: dict[str, Any]) -> bytes:
    return json.dumps({"inputs": [tensor]}).encode()
