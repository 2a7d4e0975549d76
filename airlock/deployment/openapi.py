"""Request bodies for ``/openapi.json``: the endpoints read them unparsed, so FastAPI cannot know."""

from typing import Any

import msgspec

from airlock.deployment.inputs import FORMATS
from airlock.deployment.protocol import InferRequest

_BINARY = {"type": "string", "format": "binary"}
_UPLOAD = {"schema": {"type": "object", "properties": {"image": _BINARY}, "required": ["image"]}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema without ``$defs``, which OpenAPI would look for elsewhere."""
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


BODIES: dict[str, dict[str, Any]] = {
    "/v2/models/{name}/infer": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(msgspec.json.schema(InferRequest))}},
        }
    },
    "/predict": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": _UPLOAD,
                **{name: {"schema": _BINARY} for name in (*FORMATS, "text/plain")},
            },
        }
    },
}
