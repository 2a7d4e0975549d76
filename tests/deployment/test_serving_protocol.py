"""The Open Inference Protocol as others speak it: Triton's client, both forms of tensors, and every lie about them."""

import gzip
import json
import struct
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient import http as triton

from airlock.deployment.child import Child
from airlock.deployment.protocol import HEADER_LENGTH

pytestmark = pytest.mark.integration
INFER = "/v2/models/shapes/infer"


def left() -> np.ndarray:
    """Return a picture whose left half is bright, as a batch of one."""
    picture = np.zeros((1, 8, 8, 1), np.uint8)
    picture[:, :, :4] = 255
    return picture


def binary(header: dict[str, Any] | bytes, rest: bytes, length: object = None) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request in the binary form; ``length`` is what the header claims."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return text + rest, {HEADER_LENGTH: str(len(text) if length is None else length)}


def tensor(**changes: Any) -> dict[str, Any]:
    good = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "parameters": {"binary_data_size": 64}}
    return {"inputs": [good | changes]}


class TestTritonsClient:
    @pytest.fixture
    def client(self, server: Child) -> triton.InferenceServerClient:
        client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        yield client
        client.close()

    @pytest.mark.parametrize("as_bytes", [True, False])
    @pytest.mark.parametrize("want_bytes", [True, False])
    def test_infers(self, client: Any, server: Child, as_bytes: bool, want_bytes: bool) -> None:
        given = triton.InferInput("image", [2, 8, 8, 1], "UINT8")
        given.set_data_from_numpy(np.concatenate([left(), left()]), binary_data=as_bytes)
        wanted = triton.InferRequestedOutput("probabilities", binary_data=want_bytes)
        found = client.infer("shapes", [given], outputs=[wanted], request_id="7")
        assert found.as_numpy("probabilities").shape == (2, 3)
        assert found.as_numpy("probabilities").argmax(axis=1).tolist() == [0, 0]
        answer = found.get_response()
        assert (answer["id"], answer["model_version"]) == ("7", server.manifest)

    @pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
    def test_may_compress_what_it_sends(self, client: Any, algorithm: str) -> None:
        given = triton.InferInput("image", [1, 8, 8, 1], "UINT8").set_data_from_numpy(left())
        found = client.infer("shapes", [given], request_compression_algorithm=algorithm)
        assert found.as_numpy("probabilities").argmax() == 0

    def test_reads_health_and_metadata(self, client: Any, server: Child) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("shapes", server.manifest)
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        assert client.get_model_metadata("shapes")["inputs"] == [
            {"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 1]}
        ]

    def test_asks_a_version(self, client: Any, server: Child) -> None:
        given = triton.InferInput("image", [1, 8, 8, 1], "UINT8").set_data_from_numpy(left())
        assert client.infer("shapes", [given], model_version=server.manifest).as_numpy("probabilities").argmax() == 0
        with pytest.raises(triton.InferenceServerException, match="Version 'latest' is not served here"):
            client.infer("shapes", [given], model_version="latest")


LIES = {
    "longer than the body": (binary(tensor(), b"\0" * 64, length=10_000), "the body has"),
    "negative": (binary(tensor(), b"\0" * 64, length=-1), "the body has"),
    "zero": (binary(tensor(), b"\0" * 64, length=0), "the body has"),
    "beyond any integer": (binary(tensor(), b"\0" * 64, length="9" * 400), "the body has"),
    "a word": (binary(tensor(), b"\0" * 64, length="many"), "the body has"),
    "an exotic digit": (binary(tensor(), b"\0" * 64, length="1\u00b2"), "the body has"),
    "within the JSON": (binary(tensor(), b"\0" * 64, length=20), "not an inference request"),
    "size beyond the body": (binary(tensor(parameters={"binary_data_size": 65}), b"\0" * 64), "64 bytes are left"),
    "negative size": (binary(tensor(parameters={"binary_data_size": -64}), b"\0" * 64), "64 bytes are left"),
    "huge size": (binary(tensor(parameters={"binary_data_size": 1 << 80}), b"\0" * 64), "64 bytes are left"),
    "size that is a word": (binary(tensor(parameters={"binary_data_size": "64"}), b"\0" * 64), "64 bytes are left"),
    "size that is true": (binary(tensor(parameters={"binary_data_size": True}), b"\0" * 64), "64 bytes are left"),
    "bytes too few for the shape": (binary(tensor(parameters={"binary_data_size": 63}), b"\0" * 63), "63 bytes"),
    "bytes of nobody": (binary(tensor(), b"\0" * 70), "6 bytes behind the JSON"),
    "both forms": (binary(tensor(data=[0] * 64), b"\0" * 64), "both data and binary_data_size"),
    "neither form": (binary(tensor(parameters={}), b""), "has no data"),
    "shape beyond any memory": (binary(tensor(shape=[1, 1 << 62, 1 << 62, 1]), b"\0" * 64), "The shape of"),
}


class TestHeaderOfTheBinaryFormThatLies:
    @pytest.mark.parametrize("name", LIES)
    def test_is_refused_with_words(self, server: Child, name: str) -> None:
        (body, headers), words = LIES[name]
        encoded = {key: value.encode() for key, value in headers.items()}
        reply = httpx.post(server.url + INFER, content=body, headers=encoded)
        assert reply.status_code == 400, reply.text
        assert words in reply.json()["error"]


class TestOutputs:
    def ask(self, server: Child, **fields: Any) -> httpx.Response:
        given = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": left().ravel().tolist()}
        return httpx.post(server.url + INFER, json={"inputs": [given], **fields})

    def test_come_as_bytes_when_asked_for(self, server: Child) -> None:
        reply = self.ask(server, parameters={"binary_data_output": True})
        size = int(reply.headers[HEADER_LENGTH])
        values = struct.unpack("<3f", reply.content[size:])
        assert sum(values) == pytest.approx(1)
        assert json.loads(reply.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 12}

    @pytest.mark.parametrize("names", [["labels"], ["probabilities", "probabilities"]])
    def test_that_there_are_not_are_refused(self, server: Child, names: list[str]) -> None:
        reply = self.ask(server, outputs=[{"name": name} for name in names])
        assert reply.status_code == 400
        assert "there are ['probabilities']" in reply.json()["error"]


class TestBodyThatExpands:
    def test_beyond_the_limit_is_refused_before_it_fills_memory(self, server: Child) -> None:
        bomb = gzip.compress(b"\0" * (100 << 20))
        reply = httpx.post(server.url + INFER, content=bomb, headers={"Content-Encoding": "gzip"})
        assert reply.status_code == 413
        assert "expands to more than" in reply.json()["error"]

    @pytest.mark.parametrize(
        ("coding", "body", "status"),
        [
            ("gzip", b"words", 400),
            ("gzip", gzip.compress(b"{}")[:-4], 400),
            ("br", b"", 415),
            ("deflate", zlib.compress(b"{"), 400),
        ],
    )
    def test_in_another_way_than_it_says_is_refused(self, server: Child, coding: str, body: bytes, status: int) -> None:
        reply = httpx.post(server.url + INFER, content=body, headers={"Content-Encoding": coding})
        assert reply.status_code == status

    def test_of_a_hundred_megabytes_is_refused(self, server: Child) -> None:
        headers = {"Content-Type": "application/json"}
        try:
            reply = httpx.post(server.url + INFER, content=b"[" * (100 << 20), headers=headers, timeout=30)
        except httpx.TransportError:
            return  # the server hung up in the middle, as it may once it has read enough
        assert reply.status_code == 413
