"""Bodies of requests: read once by the guard, and given on so that Airflow can only read the same."""

import json
from collections.abc import MutableMapping
from typing import Any

from starlette.types import Receive

from airlock.errors import UserError

LONGEST_BODY = 1 << 20


async def whole_body(receive: Receive) -> bytes:
    """Read a request's body, in however many chunks it comes.

    :raises UserError: it is larger than anything that is asked of a gate.
    """
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise UserError("The request is larger than 1 MiB.", hint="Shorten the comment, or send several requests.")
        if not message.get("more_body"):
            return bytes(body)


def document_of(body: bytes) -> Any:
    """Read JSON as Airflow does, so that of two equal keys the last counts here too; ``None`` for an empty body.

    :raises UserError: it is none; compressed bodies are none either.
    """
    try:
        return json.loads(body) if body.strip() else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"The body is not JSON: {error}.", hint="Send application/json, not compressed.") from error


def body_of(document: Any) -> bytes:
    """Write a document that was read: what the guard saw is all that Airflow gets to see."""
    return b"" if document is None else json.dumps(document).encode()


def replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more, then whatever else the client has to say."""
    sent = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
