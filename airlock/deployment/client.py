"""Asks a served model over HTTP; used by the deploy and test steps and by the demo."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from airlock.deployment.config import HEADER
from airlock.deployment.routes import TRACK
from airlock.errors import InfrastructureError, UserError
from airlock.settings import settings


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What a served model said of one image.

    :param probabilities: by class.
    :param manifest: digest of the manifest that answered.
    :param seconds: from sending the request to the last byte of the answer.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    manifest: str
    seconds: float = 0.0


class ModelClient:
    """Keeps one connection to an endpoint, with the API key of the settings if there is one.

    :param endpoint: URL below which ``/predict`` and ``/v2`` lie.
    :param timeout: seconds.
    :param track: who is to answer while a canary runs, ``stable`` or ``canary``; empty for whose turn it is.
    """

    def __init__(self, endpoint: str, timeout: float = 10.0, track: str = "") -> None:
        self.endpoint = endpoint.rstrip("/")
        # Loopback and cluster addresses must not go through a proxy named in the environment.
        self.http = httpx.Client(timeout=timeout, trust_env=False, headers=_headers(track))

    def __enter__(self) -> "ModelClient":
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send any request below the endpoint; the answer may be an error.

        :raises InfrastructureError: nobody answered.
        """
        with _reached(self.endpoint):
            return self.http.request(method, self.endpoint + path, **options)

    def answer(self, body: bytes, mime_type: str) -> tuple[dict[str, Any], float]:
        """Send any kind of input; return the whole answer, and the seconds it took.

        :raises UserError: the server refused it, and said why.
        """
        started = time.perf_counter()
        reply = self.request("POST", "/predict", content=body, headers={"Content-Type": mime_type})
        seconds = time.perf_counter() - started
        return _checked(reply), seconds

    def predict(self, image: bytes, mime_type: str = "image/png") -> Prediction:
        """Send one encoded image to a model that says how probable each class is.

        :raises UserError: the server refused it, and said why.
        """
        document, seconds = self.answer(image, mime_type)
        return msgspec.convert(document | {"seconds": seconds}, Prediction)

    def manifest(self) -> str | None:
        """Return the manifest digest a ready endpoint serves, ``None`` when nothing ready answers."""
        try:
            reply = self.request("GET", "/v2/health/ready")
        except InfrastructureError:
            return None
        return reply.headers.get(HEADER) if reply.is_success else None


def predict(endpoint: str, image: bytes, mime_type: str = "image/png") -> Prediction:
    """Ask an endpoint about one encoded image."""
    with ModelClient(endpoint) as client:
        return client.predict(image, mime_type)


def _headers(track: str) -> dict[str, str]:
    key = settings().serving_key
    return ({TRACK: track} if track else {}) | ({"X-API-Key": key} if key else {})


@contextmanager
def _reached(endpoint: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise InfrastructureError(
            f"The endpoint {endpoint} does not answer: {type(error).__name__} {error}.", hint="See `airlock status`."
        ) from error


def _checked(reply: httpx.Response) -> dict[str, Any]:
    if reply.is_success:
        document: dict[str, Any] = reply.json()
        return document
    if reply.status_code >= 500:
        raise InfrastructureError(f"{reply.url} answered {reply.status_code}: {reply.text[:300]}")
    raise UserError(f"{reply.url} answered {reply.status_code}: {reply.text[:300]}", hint="Correct the request.")
