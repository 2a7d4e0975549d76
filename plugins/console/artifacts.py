"""Artifacts by digest, which tasks and pages link to; for signed-in people only."""

import html
import json
from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Path, Response

from airlock.digests import PREFIX
from airlock.errors import AirlockError
from airlock.hooks.artifacts import ArtifactsHook

router = APIRouter()

PNG = b"\x89PNG\r\n\x1a\n"
# The pages are our own reports: no script may run in them, whatever a sample's name says.
POLICY = "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"


@router.get("/artifacts/{digest}")
def artifact(digest: Annotated[str, Path(pattern=f"^{PREFIX}[0-9a-f]{{64}}$")], user: GetUserDep) -> Response:
    """Show an artifact: reports as pages, pictures as pictures, manifests indented, the rest as a download."""
    del user  # being signed in is all that is asked for
    try:
        data = ArtifactsHook().get_conn().read(digest)
    except AirlockError as error:
        raise HTTPException(404, str(error)) from error
    content, media_type = _presented(data)
    return Response(content, media_type=media_type, headers={"Content-Security-Policy": POLICY})


def _presented(data: bytes) -> tuple[bytes, str]:
    if data.startswith(PNG):
        return data, "image/png"
    if data.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return data, "text/html; charset=utf-8"
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except ValueError:
        return data, "application/octet-stream"
    page = f"<!doctype html><meta charset=utf-8><meta name=color-scheme content='light dark'><pre>{html.escape(text)}"
    return page.encode(), "text/html; charset=utf-8"
