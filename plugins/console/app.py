"""The application that Airflow's API server mounts at ``/airlock``."""

from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from airlock.errors import AirlockError
from airlock.plugins import labelling
from airlock.plugins.console import artifacts, pages, requests
from airlock.plugins.guard import status_of

FOLDER = Path(__file__).parent

console = FastAPI(title="Airlock", docs_url=None, redoc_url=None, openapi_url=None)
for part in (artifacts, requests, pages, labelling):
    console.include_router(part.router)
console.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")


@console.exception_handler(AirlockError)
def refused(_request: Request, error: AirlockError) -> JSONResponse:
    """Say what was wrong in the words of the error."""
    return JSONResponse({"detail": str(error)}, status_of(error))
