"""The byte level below the artifact store: keys to objects, on a file system or on S3.

Create-if-absent is the only condition relied on, because it is the only one that file systems
(``link(2)``) and S3 servers (``If-None-Match: *`` on a single PUT) both really give.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airlock.digests import CHUNK, PREFIX, digest_file
from airlock.errors import InfrastructureError, ResourceError, UserError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class Objects(Protocol):
    """Keys (relative, ``/``-separated) to whole objects."""

    def create(self, key: str, source: Path | bytes) -> bool:
        """Write a file or bytes to a key that must not exist; return whether this call created it."""

    def replace(self, key: str, data: bytes) -> None:
        """Write a small object atomically; the last writer wins."""

    def fetch(self, key: str, target: Path) -> bool:
        """Copy an object to a file; return ``False`` when there is none."""

    def read(self, key: str) -> bytes | None:
        """Return a small object's bytes, ``None`` when there is none."""

    def digest(self, key: str) -> str | None:
        """Return the digest of an object's bytes, read where it lies; ``None`` when there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix (a folder), sorted."""

    def remove(self, key: str) -> bool:
        """Remove an object; return whether there was one."""


class FileObjects:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, source: Path | bytes) -> bool:
        target = self.root / key
        if target.exists():
            return False
        with _Staged(target) as staged:
            if isinstance(source, bytes):
                staged.write_bytes(source)
            else:
                shutil.copyfile(source, staged)
            try:
                os.link(staged, target)
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        target = self.root / key
        with _Staged(target) as staged:
            staged.write_bytes(data)
            os.replace(staged, target)

    def fetch(self, key: str, target: Path) -> bool:
        source = self.root / key
        if not source.is_file():
            return False
        shutil.copyfile(source, target)
        return True

    def read(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def digest(self, key: str) -> str | None:
        try:
            return digest_file(self.root / key)
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        found = (self.root / prefix).rglob("*")
        files = (path.relative_to(self.root).as_posix() for path in found if path.is_file())
        return iter(sorted(key for key in files if not key.rpartition("/")[2].startswith(".")))

    def remove(self, key: str) -> bool:
        try:
            (self.root / key).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, self.root / key) from error
        return True


class _Staged:
    """A temporary file beside its target; a full disk becomes an error that names the folder."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path: Path | None = None

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", dir=self.target.parent)
        except OSError as error:
            raise storage_error(error, self.target) from error
        os.close(handle)
        self.path = Path(name)
        return self.path

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise storage_error(error, self.target) from error


def storage_error(error: OSError, path: Path) -> Exception:
    """Name what is full, read-only or gone."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(
            f"No space left to write {path}.", hint=f"Free disk space below {path.parent} and run the task again."
        )
    return InfrastructureError(f"Cannot write {path}: {error}.", hint="Check the store's folder and its permissions.")


class S3Objects:
    """Objects in an S3 bucket, below a prefix.

    :param client: a boto3 S3 client.
    """

    def __init__(self, client: "S3Client", bucket: str, prefix: str) -> None:
        self.client = client
        self.bucket = bucket
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""

    def create(self, key: str, source: Path | bytes) -> bool:
        if self._exists(key):  # the condition below decides; this saves sending the body
            return False
        opened = BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        with self._asking("write", key), opened as body:
            try:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, IfNoneMatch="*")
            except self.client.exceptions.ClientError as error:
                if _status(error) in (409, 412):
                    return False
                raise
        return True

    def replace(self, key: str, data: bytes) -> None:
        with self._asking("write", key):
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def fetch(self, key: str, target: Path) -> bool:
        with self._asking("read", key):
            try:
                self.client.download_file(self.bucket, self.prefix + key, str(target))
            except self.client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return False
                raise
        return True

    def read(self, key: str) -> bytes | None:
        with self._asking("read", key):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read()
            except self.client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return None
                raise

    def digest(self, key: str) -> str | None:
        sha = hashlib.sha256()
        with self._asking("read", key):
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"]
            except self.client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return None
                raise
            for chunk in body.iter_chunks(CHUNK):
                sha.update(chunk)
        return PREFIX + sha.hexdigest()

    def keys(self, prefix: str) -> Iterator[str]:
        with self._asking("list", prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}{prefix.rstrip('/')}/"
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"].removeprefix(self.prefix)

    def remove(self, key: str) -> bool:
        there = self._exists(key)
        with self._asking("remove", key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
        return there

    def presigned(self, key: str, seconds: int) -> str:
        """Return a URL at which anybody may read an object for a time, 7 days at most."""
        parameters = {"Bucket": self.bucket, "Key": self.prefix + key}
        return self.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)

    def folders(self) -> Iterator[str]:
        """Yield what lies directly below the prefix and holds objects, each with a ``/`` at its end."""
        with self._asking("list", ""):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix, Delimiter="/"
            )
            for page in pages:
                for item in page.get("CommonPrefixes", []):
                    yield item["Prefix"].removeprefix(self.prefix)

    def _exists(self, key: str) -> bool:
        with self._asking("read", key):
            try:
                self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
            except self.client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return False
                raise
        return True

    @contextmanager
    def _asking(self, verb: str, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise InfrastructureError(
                f"Cannot {verb} s3://{self.bucket}/{self.prefix}{key}: {error}.",
                hint="Check the endpoint, the bucket and the credentials.",
            ) from error


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def open_objects(uri: str) -> Objects:
    """Open ``file:///folder`` or ``s3://bucket/prefix`` (credentials and endpoint as boto3 finds them)."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return FileObjects(Path(unquote(parts.path)))
    if parts.scheme == "s3":
        import boto3

        return S3Objects(boto3.client("s3"), parts.netloc, parts.path)
    raise UserError(
        f"The store URI {uri!r} has the scheme {parts.scheme!r}, not file or s3.", hint="Set AIRLOCK_ARTIFACTS."
    )
