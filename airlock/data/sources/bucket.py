"""S3 as a place to read from: objects listed and fetched, and errors that say who must act."""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airlock.data.download import CHUNK, Report
from airlock.data.files import written
from airlock.data.pace import Pace
from airlock.data.partial import Partial
from airlock.data.sources.source import Item
from airlock.digests import digest_document
from airlock.errors import AirlockError, InfrastructureError, SourceError, UserError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT, READ = 10, 60
MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def is_s3(location: str) -> bool:
    """Say whether a location is in S3."""
    return urlsplit(location).scheme == "s3"


def parts_of(location: str) -> tuple[str, str]:
    """Return bucket and key (or prefix).

    :raises UserError: it names no bucket.
    """
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not is_s3(location) or not bucket:
        raise UserError(f"{location!r} is no place in S3.", hint="It looks like s3://bucket/prefix.")
    return bucket, key


class Bucket:
    """An S3 server, as boto3 finds it in the environment.

    :param endpoint: its URL, when the environment does not say.
    :param anonymous: send no credentials.
    :param read_timeout: seconds without a byte.
    """

    def __init__(self, endpoint: str = "", anonymous: bool = False, read_timeout: float = READ) -> None:
        self.endpoint = endpoint
        self.anonymous = anonymous
        self.read_timeout = read_timeout

    @cached_property
    def client(self) -> "S3Client":
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        options: dict[str, Any] = {"signature_version": UNSIGNED} if self.anonymous else {}
        retries: Any = {"max_attempts": 3, "mode": "standard"}
        config = Config(connect_timeout=CONNECT, read_timeout=self.read_timeout, retries=retries, **options)
        # A session of its own: the default one is shared between threads, and remembers credentials.
        return boto3.Session().client("s3", endpoint_url=self.endpoint or None, config=config)

    def items(self, location: str) -> list[Item]:
        """List the objects below a prefix, sorted by key; names are relative to the prefix's folder."""
        bucket, prefix = parts_of(location)
        folder = prefix.rpartition("/")[0]
        start = len(folder) + 1 if folder else 0
        with asking("list", location):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            found = [item for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]
        return [Item(item["Key"][start:], item["ETag"], item["LastModified"].timestamp()) for item in found]

    def read(self, location: str, etag: str, max_bytes: int) -> bytes:
        """Return an object's bytes.

        :param etag: the one it was listed with.
        :raises SourceError: it is larger than ``max_bytes``.
        :raises InfrastructureError: it was replaced since, or arrived damaged.
        """
        bucket, key = parts_of(location)
        with asking("read", location):
            reply = self.client.get_object(Bucket=bucket, Key=key)
            check_size(location, reply["ContentLength"], max_bytes)
            if reply["ETag"] != etag:
                raise InfrastructureError(f"{location} was replaced while it was read.", hint="Run the task again.")
            body = reply["Body"].read()
        check_md5(location, reply, hashlib.md5(body, usedforsecurity=False).hexdigest())
        return body

    def fingerprint(self, location: str) -> str:
        """Return a digest over an object's ETag and size."""
        bucket, key = parts_of(location)
        with asking("read", location):
            head = self.client.head_object(Bucket=bucket, Key=key)
        return digest_document([location, head["ETag"], head["ContentLength"]])

    def download(self, location: str, target: Path, *, max_bytes: int, sha256: str, report: Report) -> Path:
        """Copy an object to a file; an earlier try is gone on with when the object is still the same."""
        bucket, key = parts_of(location)
        partial = Partial(target, location)
        with asking("read", location):
            head = self.client.head_object(Bucket=bucket, Key=key)
            check_size(location, head["ContentLength"], max_bytes)
            if partial.validator == head["ETag"] and partial.complete():
                return target
            if partial.validator != head["ETag"]:
                partial.begin(head["ETag"])
            if partial.size < head["ContentLength"] or not head["ContentLength"]:
                self._receive(location, partial, head["ContentLength"], report)
        return partial.finish(sha256)

    def _receive(self, location: str, partial: Partial, total: int, report: Report) -> None:
        bucket, key = parts_of(location)
        asked: dict[str, Any] = {"Range": f"bytes={partial.size}-"} if partial.size else {}
        reply = self.client.get_object(Bucket=bucket, Key=key, **asked)
        if reply["ETag"] != partial.validator:
            raise InfrastructureError(f"{location} was replaced while it was read.", hint="Run the task again.")
        _save(location, reply["Body"].iter_chunks(CHUNK), partial, lambda done: report(done, total, "byte"))


def _save(location: str, chunks: Iterator[bytes], partial: Partial, advance: Callable[[int], None]) -> None:
    kept = done = partial.size
    pace = Pace()
    with written(partial.part), partial.part.open("ab", buffering=0) as file:
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            advance(done)
            pace.check(location, done - kept)


def check_size(location: str, size: int, max_bytes: int) -> None:
    """Refuse an object that is too large."""
    if size > max_bytes:
        raise SourceError(
            f"{location} has {size:,} bytes, above the limit of {max_bytes:,}.",
            hint="Raise max_bytes (or max_member_bytes) in the source if that much is expected.",
        )


def check_md5(location: str, reply: Any, found: str) -> None:
    """Compare with the ETag where it is an MD5: not of parts, not of what KMS encrypted."""
    expected = MD5.fullmatch(reply["ETag"])
    if expected and not reply.get("ServerSideEncryption", "").startswith("aws:") and expected[1] != found:
        raise InfrastructureError(f"{location} arrived damaged: its MD5 is not its ETag.", hint="Run the task again.")


@contextmanager
def asking(verb: str, location: str) -> Iterator[None]:
    """Translate boto3's errors."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

    try:
        yield
    except NoCredentialsError as error:
        raise UserError(
            f"Cannot {verb} {location}: there are no credentials.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the worker, or anonymous=true for public data.",
        ) from error
    except ClientError as error:
        raise _answered(verb, location, error) from error
    except ParamValidationError as error:
        raise UserError(f"Cannot {verb} {location}: {error}.", hint="It looks like s3://bucket/prefix.") from error
    except BotoCoreError as error:
        raise InfrastructureError(
            f"Cannot {verb} {location}: {error}.", hint="Check the endpoint and the network, then run the task again."
        ) from error


def _answered(verb: str, location: str, error: Any) -> AirlockError:
    status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
    code = error.response.get("Error", {}).get("Code", "")
    text = f"Cannot {verb} {location}: the server answers {status} {code}."
    if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout"):
        return InfrastructureError(text, hint="The server is busy or broken: run the task again.")
    if status in (401, 403):
        return SourceError(text, hint="Check the credentials and that they may list and read there.")
    return SourceError(text, hint="Check bucket, prefix and endpoint: `aws s3 ls` must show it.")
