"""The HTTP face of a served model: Open Inference Protocol v2, image upload, and what the package says of itself."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

import airlock
from airlock.deployment import openapi, protocol
from airlock.deployment.answers import to_json
from airlock.deployment.metrics import Metrics
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.errors import AirlockError, SourceError, UserError

Reply = TypeVar("Reply")


class Endpoints:
    """The answers. The model loads beside them: the process is alive before it is ready.

    :param package: verified by whoever starts the server.
    :param manifest: digest of the release manifest that is served.
    """

    def __init__(self, package: Package, manifest: str) -> None:
        self.package = package
        self.config = package.config
        self.manifest = manifest
        self.metrics = Metrics(manifest)
        self.served: ServedModel | None = None
        self._one = CapacityLimiter(1)  # an interpreter owns its tensors, and decoded images cost memory

    async def load(self) -> None:
        """Load the model; ready only after its samples were answered as the package states."""
        self.served = await self._thread(partial(_load, self.package))

    async def server(self) -> Response:
        """Name and version of the server."""
        return self._answer({"name": "airlock", "version": airlock.__version__, "extensions": []})

    async def live(self) -> Response:
        """Is the process alive?"""
        return self._answer({"live": True})

    async def ready(self) -> Response:
        """Is the model loaded, and does it answer its samples as packaged?"""
        ready = self.served is not None
        return self._answer({"ready": ready, "name": self.config.name}, 200 if ready else 503)

    async def model(self, name: str) -> Response:
        """Metadata of the model."""
        self._require_name(name)
        return self._answer(protocol.metadata(self.config, self.manifest))

    async def model_ready(self, name: str) -> Response:
        """Is this model ready?"""
        self._require_name(name)
        return await self.ready()

    async def infer(self, name: str, request: Request) -> Response:
        """Probabilities for a batch of preprocessed tensors."""
        self._require_name(name)
        served = self._require_ready()
        if (kind := _kind(request)) not in ("", "application/json"):
            raise HTTPException(415, f"The content type is {kind}, not application/json.")
        asked = protocol.decode_request(await request.body())
        batch = protocol.batch_of(asked, self.config)
        infer = partial(served.infer, {self.config.inputs[0].name: batch})
        outputs = (await self._thread(infer))[self.config.outputs[0].name]
        self.metrics.answered(self.config.classes[best] for best in outputs.argmax(axis=1))
        return self._answer(protocol.response(asked, outputs, name, self.manifest))

    async def predict(self, request: Request) -> Response:
        """Probabilities for one image, preprocessed here."""
        served = self._require_ready()
        sent = {self.config.inputs[0].name: await self._sent(request)}
        answer = await self._thread(partial(served.predict, sent))
        self.metrics.answered([answer.get("label", "")])
        return self._answer(answer)

    async def get_config(self) -> Response:
        """The content of airlock.json."""
        return self._answer({"config": msgspec.to_builtins(self.config)})

    async def get_legal(self) -> Response:
        """Licences of code and data, and the licence text."""
        return self._answer({"licences": msgspec.to_builtins(self.config.licences), "text": self.package.licence})

    async def get_samples(self) -> Response:
        """The package's samples with their images (base64) and the outputs to expect."""
        samples = [
            {**msgspec.to_builtins(sample), "image": base64.b64encode(self.package.file(sample.file)).decode()}
            for sample in self.package.samples
        ]
        return self._answer({"samples": samples, "tolerance": self.config.outputs[0].tolerance})

    async def get_metrics(self) -> Response:
        """Counters in Prometheus' text format."""
        return Response(self.metrics.text(self.served is not None), media_type="text/plain; version=0.0.4")

    def _answer(self, document: Any, status: int = 200) -> Response:
        body = document | {"manifest": self.manifest} if isinstance(document, dict) else document
        return Response(to_json(body), status, media_type="application/json")

    def _require_name(self, name: str) -> None:
        if name != self.config.name:
            raise HTTPException(404, f"There is no model {name!r} here, only {self.config.name!r}.")

    def _require_ready(self) -> ServedModel:
        if self.served is None:
            raise HTTPException(503, "The model is loading.", headers={"Retry-After": "1"})
        return self.served

    async def _sent(self, request: Request) -> bytes:
        kind = _kind(request)
        if kind == "multipart/form-data":
            async with request.form(max_files=1, max_fields=8) as form:
                upload = next((item for item in form.values() if isinstance(item, UploadFile)), None)
                if upload is None:
                    raise HTTPException(400, "The form holds no file. Send the image as a file field.")
                self._require_kind((upload.content_type or "").lower())
                return await upload.read()
        self._require_kind(kind)
        return await request.body()

    def _require_kind(self, kind: str) -> None:
        accepted = self.config.inputs[0].mime_types
        if kind not in accepted:
            raise HTTPException(415, f"The content type is {kind or 'missing'}, not one of {', '.join(accepted)}.")

    async def _thread(self, call: Callable[[], Reply]) -> Reply:
        return await anyio.to_thread.run_sync(call, limiter=self._one)

    async def failed(self, _request: Request, error: Exception) -> Response:
        """Answer an error: what was asked for is wrong (4xx), or the server is (500)."""
        if isinstance(error, HTTPException):
            reply = self._answer({"error": str(error.detail)}, error.status_code)
            reply.headers.update(error.headers or {})
            return reply
        if isinstance(error, UserError):
            return self._answer({"error": str(error)}, 422 if isinstance(error, SourceError) else 400)
        return self._answer({"error": "The server failed; its log says why."}, 500)


def create_app(endpoints: Endpoints, on_failure: Callable[[BaseException], None]) -> FastAPI:
    """Return the application.

    :param on_failure: called when the model cannot be loaded; the process is of no use then.
    """
    config = endpoints.config
    app = FastAPI(title=f"Airlock: {config.name}", version=endpoints.manifest, docs_url=None, redoc_url=None,
                  lifespan=_loading(endpoints, on_failure))  # fmt: skip
    for path, call in _routes(endpoints).items():
        extra = openapi.BODIES.get(path)
        methods = ["POST"] if extra else ["GET"]
        app.add_api_route(path, call, methods=methods, openapi_extra=extra, response_class=Response)
    for kind in (HTTPException, AirlockError, Exception):
        app.add_exception_handler(kind, endpoints.failed)
    return app


def _routes(endpoints: Endpoints) -> dict[str, Callable[..., Awaitable[Response]]]:
    return {
        "/v2": endpoints.server,
        "/v2/health/live": endpoints.live,
        "/v2/health/ready": endpoints.ready,
        "/v2/models/{name}": endpoints.model,
        "/v2/models/{name}/ready": endpoints.model_ready,
        "/v2/models/{name}/infer": endpoints.infer,
        "/predict": endpoints.predict,
        "/get_config": endpoints.get_config,
        "/get_legal": endpoints.get_legal,
        "/get_samples": endpoints.get_samples,
        "/metrics": endpoints.get_metrics,
    }


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _load(package: Package) -> ServedModel:
    served = ServedModel(package)
    served.require_samples()
    return served


def _loading(endpoints: Endpoints, on_failure: Callable[[BaseException], None]) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(endpoints.load())
        task.add_done_callback(lambda done: _report(done, on_failure))
        yield
        task.cancel()

    return lifespan


def _report(done: asyncio.Task[None], on_failure: Callable[[BaseException], None]) -> None:
    if not done.cancelled() and (error := done.exception()):
        on_failure(error)
