"""The HTTP face of a served model: Open Inference Protocol v2, uploads, URLs, and what the package says of itself."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

import airlock
from airlock.deployment import answers, openapi, protocol
from airlock.deployment.batching import Batcher, Pace, measure
from airlock.deployment.describing import Descriptions
from airlock.deployment.hdf5 import MEDIA_TYPE, LargeOutputs
from airlock.deployment.loaded import Loaded
from airlock.deployment.metrics import Metrics
from airlock.deployment.options import Options
from airlock.deployment.package import Package
from airlock.deployment.predictions import Note, PredictionLog
from airlock.deployment.protocol import HEADER_LENGTH, Tensors, row_count
from airlock.deployment.spool import Spool
from airlock.deployment.uploads import JSON, Payloads, expanded
from airlock.errors import AirlockError, ResourceError, SourceError, UserError

LOG = logging.getLogger("airlock.server")
BINARY = "application/octet-stream"
TRUTH_BYTES = 4_096

Reply = TypeVar("Reply")


class FeedbackBody(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true.

    :param prediction: the id that the answer named.
    :param truth: any JSON; for a classifier the label.
    """

    prediction: str
    truth: Any


class Endpoints:
    """The answers. The model loads beside them: the process is alive before it is ready.

    :param package: verified by whoever starts the server.
    :param manifest: digest of the release manifest that is served.
    :param spool: takes what was predicted; without one nothing is noted.
    """

    def __init__(self, package: Package, manifest: str, options: Options, spool: Spool | None = None) -> None:
        self.package = package
        self.config = package.config
        self.manifest = manifest
        self.options = options
        self.metrics = Metrics(manifest)
        self.descriptions = Descriptions(package)
        self.payloads = Payloads(self.config, options)
        self.outputs = LargeOutputs(options.outputs_bytes, options.outputs_seconds)
        self.model: Loaded | None = None
        self.log: PredictionLog | None = None
        self.draining = False
        self._spool = spool
        self._thread = ThreadPoolExecutor(1, "model")  # an interpreter owns its tensors, decoded images cost memory
        self._batcher: Batcher | None = None
        self._hung: asyncio.Future[Any] | None = None

    async def load(self) -> None:
        """Load the model; ready only after its samples were answered as the package states."""
        loop = asyncio.get_running_loop()
        model, pace = await loop.run_in_executor(self._thread, _load, self.package, self.options)
        LOG.info("batches of up to %d rows, %.3f ms for one", pace.rows, 1000 * pace.seconds)
        self._batcher = Batcher(model.infer, self._thread, pace, self.options.delay_us / 1e6)
        if self._spool:
            self.log = PredictionLog(self._spool, self.options.payload_share, model.answer if model.light else None)
            self.log.start()
        self.model = model

    def close(self) -> None:
        """Write what was noted; nothing is answered any more."""
        if self.log:
            self.log.close()
        self.outputs.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def is_ready(self) -> bool:
        """Is the model loaded, answering, and is the server not about to stop?"""
        batcher = self._batcher
        hung = (self._hung is not None and not self._hung.done()) or (batcher and batcher.stuck > self.options.timeout)
        return batcher is not None and not hung and not self.draining

    async def server(self, _request: Request) -> Response:
        """Name and version of the server."""
        return self.answer({"name": "airlock", "version": airlock.__version__, "extensions": protocol.EXTENSIONS})

    async def live(self, _request: Request) -> Response:
        """Is the process alive?"""
        return self.answer({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Is the model loaded, and does it answer its samples as packaged?"""
        return self.answer({"ready": self.is_ready, "name": self.config.name}, 200 if self.is_ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Metadata of the model."""
        self._require_model(request.path_params)
        model = self._require_ready()[0]
        named = protocol.metadata(self.config.name, self.config.engine, model.inputs, model.outputs, self.manifest)
        return self.answer(named | {"classes": self.config.classes})

    async def model_ready(self, request: Request) -> Response:
        """Is this model ready?"""
        self._require_model(request.path_params)
        return await self.ready(request)

    async def infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Outputs for a batch of preprocessed tensors."""
        self._require_model(scope["path_params"])
        model, batcher = self._require_ready()
        headers = {key: value for key, value in scope["headers"] if key in openapi.READ_HEADERS}
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in (b"", b"application/json", b"application/octet-stream"):
            raise HTTPException(415, f"The content type is {kind.decode('latin-1')}, not {JSON} or {BINARY}.")
        body = expanded(await _read(receive), headers.get(b"content-encoding", b""), self.payloads.limit)
        length = headers.get(openapi.LENGTH_HEADER)
        asked, rest = protocol.decode_request(body, None if length is None else length.decode("latin-1"))
        batch = protocol.batch_of(asked, rest, model.inputs, self.payloads.most_rows)
        wanted = protocol.selected(asked, model.output_names)
        outputs, prediction = await self._predict(model, batcher, batch)
        answered = protocol.encode_response(asked, outputs, wanted, self.config.name, self.manifest, prediction)
        await _send(send, answered)

    async def predict(self, request: Request) -> Response:
        """What the model says of an upload, of a form, or of what is at a URL; preprocessed here."""
        payloads, types = await self.payloads.read(request)
        return await self._answer_payloads(request, payloads, types)

    async def predict_sample(self, request: Request) -> Response:
        """What the model says of one of the package's samples."""
        payloads, types = self.descriptions.sample(request.query_params.get("sample", "0"))
        return await self._answer_payloads(request, payloads, types)

    async def output(self, request: Request) -> Response:
        """A large output, as an HDF5 file."""
        content = self.outputs.read(request.path_params["file"])
        if content is None:
            raise HTTPException(404, "There is no such file, or not any more.")
        return Response(content, media_type=MEDIA_TYPE)

    async def feedback(self, request: Request) -> Response:
        """Take what turned out to be true of a prediction."""
        body = await request.body()
        try:
            told = msgspec.json.decode(body, type=FeedbackBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"The body is no feedback: {error}.", hint="Send `prediction` and `truth`.") from error
        if len(body) > TRUTH_BYTES or b"\\u0000" in body:
            raise UserError(f"The truth has more than {TRUTH_BYTES} bytes, or a NUL.", hint="Send the label.")
        if self.log is None:
            raise HTTPException(409, "This server notes no predictions; start it with --spool.")
        if not self.log.spool.knows(told.prediction):
            raise HTTPException(404, f"There is no prediction {told.prediction[:80]!r} of {self.config.use_case}.")
        if not self.log.truth(told.prediction, told.truth):
            raise HTTPException(429, "Too much feedback waits here. Ask again later.", headers={"Retry-After": "1"})
        return self.answer({"prediction": told.prediction}, 202)

    async def get_metrics(self, _request: Request) -> Response:
        """Counters in Prometheus' text format."""
        batcher, log = self._batcher, self.log
        counters: dict[str, float] = {"batches": batcher.batches, "batched_rows": batcher.rows} if batcher else {}
        if log:
            counters |= {"predictions_noted": log.written, "predictions_dropped": log.dropped}
        text = self.metrics.text(self.is_ready, counters)
        return Response(text, media_type="text/plain; version=0.0.4")

    def answer(self, document: dict[str, Any], status: int = 200) -> Response:
        """Return a JSON answer that names the manifest."""
        return Response(answers.to_json(document | {"manifest": self.manifest}), status, media_type=JSON)

    def refused(self, error: HTTPException) -> Response:
        """Return the answer of a refusal."""
        reply = self.answer({"error": str(error.detail)}, error.status_code)
        reply.headers.update(error.headers or {})
        return reply

    async def failed(self, _request: Request, error: Exception) -> Response:
        """Answer an error: what was asked for is wrong (4xx), there is no room now (503), or the server is (500)."""
        if isinstance(error, HTTPException):
            return self.refused(error)
        if isinstance(error, ResourceError):
            return self.refused(HTTPException(503, str(error), headers={"Retry-After": "1"}))
        if isinstance(error, UserError):
            return self.answer({"error": str(error)}, 422 if isinstance(error, SourceError) else 400)
        LOG.error("a request could not be answered: %s", error)
        return self.answer({"error": "The server failed; its log says why."}, 500)

    async def _answer_payloads(self, request: Request, payloads: dict[str, bytes], types: dict[str, str]) -> Response:
        model, batcher = self._require_ready()
        batch = await self._in_thread(model.batch, payloads, types)
        upload = next(iter(payloads.values())), next(iter(types.values()), "")
        outputs, prediction = await self._predict(model, batcher, batch, upload if len(payloads) == 1 else None)
        row = {name: values[0] for name, values in outputs.items()}
        values = model.values(row) if model.light else await self._in_thread(model.values, row)
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        large = sum(array.size for array in arrays.values()) >= self.options.large_values
        if large or request.query_params.get("format") == "hdf5":
            name = await self._in_thread(self.outputs.write, arrays)
            root = request.scope.get("root_path", "")
            document = {"url": f"{root}/outputs/{name}", "expires_seconds": self.options.outputs_seconds}
            document |= {name: value for name, value in values.items() if name not in arrays}
        else:
            document = answers.document(values, self.config)
        return self.answer(document | {"prediction": prediction})

    async def _in_thread(self, work: Callable[..., Reply], *arguments: Any) -> Reply:
        """Run work that must not stop the event loop.

        :raises ResourceError: it was not done in time; the server is not ready until it is.
        """
        running = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        try:
            async with asyncio.timeout(self.options.timeout):
                return await asyncio.shield(running)
        except TimeoutError as error:
            self._hung = running
            raise ResourceError(f"The input was not prepared within {self.options.timeout:g} s.",
                                hint="Ask later, or with a smaller input.") from error  # fmt: skip

    async def _predict(
        self, model: Loaded, batcher: Batcher, batch: Tensors, upload: tuple[bytes, str] | None = None
    ) -> tuple[Tensors, str]:
        """Return outputs and the prediction's id; note both, and failures too."""
        started = time.perf_counter()
        prediction = self._spool.new_id() if self._spool else ""
        outputs: Tensors | None = None
        status = 500
        try:
            outputs = await batcher.ask(batch, self.options.timeout)
            status = 200
        except ResourceError:
            status = 503
            raise
        finally:
            if self.log:
                seconds = time.perf_counter() - started
                self.log.note(Note(prediction, batch, outputs, seconds, status, time.time(), upload))
        self.metrics.answered(model.labels(outputs), row_count(batch))
        return outputs, prediction

    def _require_model(self, named: dict[str, str]) -> None:
        if named["name"] != self.config.name:
            raise HTTPException(404, f"There is no model {named['name']!r} here, only {self.config.name!r}.")
        if named.get("version", self.manifest) != self.manifest:
            raise HTTPException(404, f"Version {named['version']!r} is not served here, only {self.manifest}.")

    def _require_ready(self) -> tuple[Loaded, Batcher]:
        if self.model is None or self._batcher is None:
            raise HTTPException(503, "The model is loading.", headers={"Retry-After": "1"})
        return self.model, self._batcher


class _Infer:
    """The one endpoint that is asked thousands of times a second: without a request object around it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.endpoints.infer(scope, receive, send)


def create_app(endpoints: Endpoints, on_failure: Callable[[BaseException], None]) -> Starlette:
    """Return the application.

    :param on_failure: called when the model cannot be loaded; the process is of no use then.
    """
    described = openapi.document(endpoints.config, endpoints.manifest, FeedbackBody)

    async def get_openapi(request: Request) -> Response:
        servers = [{"url": request.scope.get("root_path") or "/"}]
        return Response(msgspec.json.encode(described | {"servers": servers}), media_type=JSON)

    routes = [*_routes(endpoints), Route("/openapi.json", get_openapi)]
    handlers: dict[Any, Any] = dict.fromkeys((HTTPException, AirlockError, Exception), endpoints.failed)
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=_loading(endpoints, on_failure))


def _routes(endpoints: Endpoints) -> list[Route]:
    described = endpoints.descriptions
    model, version = openapi.MODEL, openapi.VERSION
    asked = {
        "/v2": endpoints.server,
        "/v2/health/live": endpoints.live,
        "/v2/health/ready": endpoints.ready,
        model: endpoints.metadata,
        version: endpoints.metadata,
        model + "/ready": endpoints.model_ready,
        version + "/ready": endpoints.model_ready,
        "/predict_sample": endpoints.predict_sample,
        "/outputs/{file}": endpoints.output,
        "/metrics": endpoints.get_metrics,
        "/get_model_files": _files(described),
        **{path: _describing(endpoints, describe) for path, describe in described.paths.items()},
    }
    infer = _Infer(endpoints)
    return [
        *(Route(path + "/infer", infer, methods=["POST"]) for path in (model, version)),
        Route("/predict", endpoints.predict, methods=["POST"]),
        Route("/feedback", endpoints.feedback, methods=["POST"]),
        *(Route(path, call, methods=["GET"]) for path, call in asked.items()),
    ]


def _describing(endpoints: Endpoints, describe: Callable[[], dict[str, Any]]) -> Callable[[Request], Any]:
    async def answer(_request: Request) -> Response:
        return endpoints.answer(describe())

    return answer


def _files(described: Descriptions) -> Callable[[Request], Any]:
    async def answer(_request: Request) -> Response:
        name = f'attachment; filename="{described.config.name}.zip"'
        return Response(described.archive(), media_type="application/zip", headers={"Content-Disposition": name})

    return answer


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    chunks = [body]
    while message.get("more_body"):
        message = await receive()
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


async def _send(send: Send, answered: protocol.Encoded) -> None:
    headers = [
        (b"content-length", str(len(answered.body)).encode()),
        (b"content-type", JSON.encode() if answered.header_length is None else BINARY.encode()),
    ]
    if answered.header_length is not None:
        headers.append((HEADER_LENGTH.lower().encode(), str(answered.header_length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})


def _load(package: Package, options: Options) -> tuple[Loaded, Pace]:
    model = Loaded(package, options.threads)
    return model, measure(model.infer, model.sample, options.batch)


def _loading(endpoints: Endpoints, on_failure: Callable[[BaseException], None]) -> Any:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(endpoints.load())
        task.add_done_callback(lambda done: _report(done, on_failure))
        yield
        task.cancel()
        endpoints.close()

    return lifespan


def _report(done: "asyncio.Task[None]", on_failure: Callable[[BaseException], None]) -> None:
    if not done.cancelled() and (error := done.exception()):
        on_failure(error)
