"""Where Label Studio's webhooks arrive: a hint that somebody answered, passed on to whoever waits.

A hint decides nothing: the trigger that it wakes counts the answers itself. So it is safe that the server sends each
once, without a signature; the secret only keeps strangers from waking triggers.
"""

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, HTTPException
from starlette.concurrency import run_in_threadpool

from airlock.labeling.hints import Hints
from airlock.labeling.studio import SECRET_HEADER
from airlock.settings import settings

router = APIRouter()


@router.post("/labelling/hook", status_code=202)
async def hook(
    body: Annotated[dict[str, Any], Body()], secret: Annotated[str, Header(alias=SECRET_HEADER)] = ""
) -> dict[str, str]:
    """Take a webhook of Label Studio's."""
    wanted = settings().label_studio_secret
    if not wanted or not hmac.compare_digest(secret.encode(), wanted.encode()):
        raise HTTPException(403, "The webhook does not carry the secret.")
    project = body.get("project")
    number = project.get("id") if isinstance(project, dict) else project
    if not isinstance(number, int):
        raise HTTPException(422, "The webhook names no project.")
    await run_in_threadpool(Hints(settings().database).send, number)
    return {"detail": "Whoever waits is told."}
