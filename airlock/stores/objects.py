"""The byte level below the artifact store: keys to objects, on a file system or on S3.

Create-if-absent is the only condition relied on, because it is the only one that file systems
(``link(2)``) and S3 servers (``If-None-Match: *`` on a single PUT) both really give.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from airlock.errors import InfrastructureError, ResourceError, UserError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class Objects(Protocol):
    """Keys (relative, ``/``-separated) to whole objects."""

    def create(self, key: str, source: Path) -> bool:
        """Copy a file to a key that must not exist; return whether this call created it."""

    def replace(self, key: str, data: bytes) -> None:
        """Write a small object atomically; the last writer wins."""

    def fetch(self, key: str, target: Path) -> bool:
        """Copy an object to a file; return ``False`` when there is none."""

    def size(self, key: str) -> int | None:
        """Return an object's size in bytes, ``None`` when there is none."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys below a prefix (a folder), sorted."""


class FileObjects:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, source: Path) -> bool:
        target = self.root / key
        if target.exists():
            return False
        with self._staged(target) as staged:
            shutil.copyfile(source, staged)
            try:
                os.link(staged, target)
            except FileExistsError:
                return False
        return True

    def replace(self, key: str, data: bytes) -> None:
        target = self.root / key
        with self._staged(target) as staged:
            staged.write_bytes(data)
            os.replace(staged, target)

    def fetch(self, key: str, target: Path) -> bool:
        try:
            shutil.copyfile(self.root / key, target)
        except FileNotFoundError:
            return False
        return True

    def size(self, key: str) -> int | None:
        try:
            return (self.root / key).stat().st_size
        except FileNotFoundError:
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        found = (self.root / prefix).rglob("*")
        files = (path.relative_to(self.root).as_posix() for path in found if path.is_file())
        return iter(sorted(key for key in files if not key.rpartition("/")[2].startswith(".")))

    def _staged(self, target: Path) -> "_Staged":
        return _Staged(target)


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
    import errno

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

    def create(self, key: str, source: Path) -> bool:
        from botocore.exceptions import ClientError

        if self.size(key) is not None:
            return False
        try:
            with source.open("rb") as body:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if _status(error) in (409, 412):
                return False
            raise self._failed("write", key, error) from error
        return True

    def replace(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def fetch(self, key: str, target: Path) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.client.download_file(self.bucket, self.prefix + key, str(target))
        except ClientError as error:
            if _status(error) == 404:
                return False
            raise self._failed("read", key, error) from error
        return True

    def size(self, key: str) -> int | None:
        from botocore.exceptions import ClientError

        try:
            return self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)["ContentLength"]
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise self._failed("read", key, error) from error

    def keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}{prefix.rstrip('/')}/"
        )
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(self.prefix)

    def _failed(self, verb: str, key: str, error: Any) -> InfrastructureError:
        return InfrastructureError(
            f"Cannot {verb} s3://{self.bucket}/{self.prefix}{key}: {error}.",
            hint="Check the endpoint, the bucket and the credentials.",
        )


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
