"""What arrives at ``/predict``: a raw body, a form with one file per input, or the URL of the input."""

import zlib
from collections.abc import Sequence

import msgspec
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from airlock.deployment.config import PackageConfig
from airlock.deployment.options import Options

FORM, JSON = "multipart/form-data", "application/json"
CODINGS = {b"gzip": 31, b"deflate": 15}  # zlib's window bits


class Located(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a request that says where its input is.

    :param url: an http or https address that everybody can reach.
    """

    url: str


class Payloads:
    """Reads encoded inputs by name, each with its media type."""

    def __init__(self, config: PackageConfig, options: Options) -> None:
        self.accepted: dict[str, Sequence[str]] = {each.name: each.mime_types for each in config.inputs}
        self.limit = config.limits.body_bytes
        self.most_rows = config.limits.batch
        self.options = options

    async def read(self, request: Request) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return contents and media types by input.

        :raises SourceError: the URL cannot be fetched, or must not be.
        """
        kind = kind_of(request)
        if (url := request.query_params.get("fileurl")) is not None:
            return await self._fetched(url)
        if kind == FORM:
            return await self._form(request)
        body = await request.body()
        if kind == JSON and (located := _located(body)):
            return await self._fetched(located.url)
        return self._only(body, kind)

    async def _fetched(self, url: str) -> tuple[dict[str, bytes], dict[str, str]]:
        from airlock.deployment.fetching import Fetcher  # costs memory that most servers never need

        options = self.options
        found = await Fetcher(self.limit, options.fetch_seconds, options.allowed_hosts).fetch(url)
        return self._only(found.content, found.kind)

    async def _form(self, request: Request) -> tuple[dict[str, bytes], dict[str, str]]:
        async with request.form(max_files=len(self.accepted), max_fields=8) as form:
            files = {name: item for name, item in form.items() if isinstance(item, UploadFile)}
            if not files:
                raise HTTPException(400, "The form holds no file. Send the input as a file field.")
            if len(self.accepted) == 1:
                files = {next(iter(self.accepted)): next(iter(files.values()))}
            if files.keys() != self.accepted.keys():
                raise HTTPException(400, f"The form's files are {sorted(files)}, not {sorted(self.accepted)}.")
            types = {name: self._checked(name, (item.content_type or "").lower()) for name, item in files.items()}
            return {name: await item.read() for name, item in files.items()}, types

    def _only(self, body: bytes, kind: str) -> tuple[dict[str, bytes], dict[str, str]]:
        if len(self.accepted) > 1:
            raise HTTPException(415, f"This model has the inputs {sorted(self.accepted)}. Send a form of files.")
        name = next(iter(self.accepted))
        return {name: body}, {name: self._checked(name, kind)}

    def _checked(self, name: str, kind: str) -> str:
        accepted = self.accepted[name]
        if kind not in accepted:
            raise HTTPException(415, f"The content type is {kind or 'missing'}, not one of {', '.join(accepted)}.")
        return kind


def kind_of(request: Request) -> str:
    """Return a request's media type, lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def expanded(body: bytes, coding: bytes, limit: int) -> bytes:
    """Return a body without its content coding, which must not expand it beyond a limit.

    :param coding: value of ``Content-Encoding``.
    """
    if coding in (b"", b"identity"):
        return body
    if coding not in CODINGS:
        raise HTTPException(415, f"The content encoding is {coding.decode('latin-1')[:40]}, not gzip or deflate.")
    stream = zlib.decompressobj(CODINGS[coding])
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise HTTPException(400, f"The body is not {coding.decode()}: {error}.") from error
    if len(found) > limit:
        raise HTTPException(413, f"The body expands to more than {limit} bytes.")
    if not stream.eof:
        raise HTTPException(400, f"The {coding.decode()} body is cut short.")
    return found


def _located(body: bytes) -> Located | None:
    try:
        return msgspec.json.decode(body, type=Located)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
