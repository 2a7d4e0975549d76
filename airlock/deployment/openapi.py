"""``/openapi.json``: what the server answers to, from the types its requests are parsed with."""

from copy import deepcopy
from typing import Any

import msgspec

from airlock.deployment.config import PackageConfig
from airlock.deployment.protocol import HEADER_LENGTH, InferRequest
from airlock.deployment.uploads import FORM, JSON, Located

LENGTH_HEADER = HEADER_LENGTH.lower().encode()
READ_HEADERS = frozenset({b"content-type", b"content-encoding", LENGTH_HEADER})

_BINARY = {"type": "string", "format": "binary"}
_OBJECT = {"type": "object"}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error", "manifest"]}
_GET_REFUSALS = (401, 404, 503)
_POST_REFUSALS = (400, 401, 404, 408, 409, 413, 415, 422, 429, 503)
MODEL = "/v2/models/{name}"
VERSION = MODEL + "/versions/{version}"


def document(config: PackageConfig, manifest: str, feedback: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the description of one model's server.

    :param feedback: body of ``/feedback``.
    """
    infer = _post("Infer on tensors (Open Inference Protocol v2)", {JSON: _inlined(InferRequest),
                                                                    "application/octet-stream": _BINARY})  # fmt: skip
    paths: dict[str, Any] = {
        "/v2": _get("The server's name, version and extensions"),
        "/v2/health/live": _get("Is the process alive?"),
        "/v2/health/ready": _get("Is the model ready?"),
        MODEL: _get("Metadata of the model"),
        MODEL + "/ready": _get("Is the model ready?"),
        MODEL + "/infer": infer,
        "/predict": _post("Predict from an upload, a form or a URL", _uploads(config)),
        "/predict_sample": _get("Predict from one of the package's samples"),
        "/feedback": _post("Say what turned out to be true of a prediction", {JSON: _inlined(feedback)}, 202),
        "/get_config": _get("The content of airlock.json"),
        "/get_legal": _get("Licences"),
        "/get_samples": _get("Samples, with what to expect of each"),
        "/get_model_files": _get("The package, as a ZIP", "application/zip"),
        "/outputs/{file}": _get("A large output, as HDF5", "application/x-hdf5"),
        "/metrics": _get("Counters in Prometheus' text format", "text/plain"),
    }
    paths |= {path.replace(MODEL, VERSION): deepcopy(found) for path, found in paths.items() if path.startswith(MODEL)}
    for path, found in paths.items():
        _name_parameters(path, found, {"name": config.name, "version": manifest})
    sample = {"type": "integer", "minimum": 0, "maximum": max(0, len(config.classes))}
    paths["/predict_sample"]["get"]["parameters"] = [{"name": "sample", "in": "query", "schema": sample}]
    url = {"name": "fileurl", "in": "query", "schema": {"type": "string", "format": "uri"}}
    paths["/predict"]["post"]["parameters"] = [url]
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Airlock: {config.name}", "version": manifest},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


def _uploads(config: PackageConfig) -> dict[str, Any]:
    names = [each.name for each in config.inputs]
    form = {"type": "object", "properties": dict.fromkeys(names, _BINARY), "required": names}
    kinds = [kind for each in config.inputs for kind in each.mime_types] if len(names) == 1 else []
    return {FORM: form, **dict.fromkeys(kinds, _BINARY), JSON: {} if JSON in kinds else _inlined(Located)}


def _get(summary: str, kind: str = JSON) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": _responses(200, kind, _GET_REFUSALS)}}


def _post(summary: str, bodies: dict[str, Any], status: int = 200) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind, schema in bodies.items()}
    body = {"required": True, "content": content}
    return {"post": {"summary": summary, "requestBody": body, "responses": _responses(status, JSON, _POST_REFUSALS)}}


def _responses(status: int, kind: str, refusals: tuple[int, ...]) -> dict[str, Any]:
    good = {"description": "Answered", "content": {kind: {"schema": _OBJECT if kind == JSON else {}}}}
    error = {"content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {str(status): good, **{str(code): {"description": "Refused", **error} for code in refusals}}


def _name_parameters(path: str, found: dict[str, Any], known: dict[str, str]) -> None:
    for operation in found.values():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"},
             **({"example": known[name]} if name in known else {})} for name in names
        ]  # fmt: skip


def _inlined(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a JSON Schema without ``$defs``, which OpenAPI would look for elsewhere."""
    schema = msgspec.json.schema(struct)
    definitions = schema["$defs"]

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolve(definitions[node["$ref"].rpartition("/")[2]])
        return {key: resolve(value) for key, value in node.items()}

    resolved: dict[str, Any] = resolve({"$ref": schema["$ref"]})
    return resolved
