"""A file that a source reads: on this machine, at an http(s) URL or in S3. All kinds of one file share these keys."""

import os
from pathlib import Path

import msgspec

from airlock.data.download import Report, download, is_url, shown
from airlock.data.download import fingerprint as url_fingerprint
from airlock.data.sources.bucket import Bucket, is_s3
from airlock.data.sources.files import existing, fingerprint
from airlock.digests import PREFIX, digest_bytes, digest_file
from airlock.errors import IntegrityError, UserError


class Location(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a file is.

    :param location: path, http(s) URL or ``s3://bucket/key``.
    :param sha256: hex digest it must have.
    :param token_env: environment variable with a bearer token for the URL.
    :param endpoint: URL of the S3 server, when it is not AWS and the environment does not name it.
    :param anonymous: ask S3 without credentials.
    :param max_bytes: most bytes it may have, and may unpack to.
    """

    location: str
    sha256: str = ""
    token_env: str = ""
    endpoint: str = ""
    anonymous: bool = False
    max_bytes: int = 8 << 30

    @property
    def name(self) -> str:
        """The location as messages show it, without secrets."""
        return shown(self.location) if is_url(self.location) else self.location

    def local(self, workdir: Path, report: Report) -> Path:
        """Return the file on this machine, verified.

        :raises SourceError: it is not there, or over ``max_bytes``.
        :raises IntegrityError: it has another sha256.
        """
        target = workdir / f"file-{digest_bytes(self.location.encode()).removeprefix(PREFIX)[:16]}"
        limits = {"max_bytes": self.max_bytes, "sha256": self.sha256}
        if is_url(self.location):
            return download(self.location, target, report=report, headers=bearer(self.token_env), **limits)  # type: ignore[arg-type]
        if is_s3(self.location):
            return self._bucket.download(self.location, target, report=report, **limits)  # type: ignore[arg-type]
        path = existing(self.location, folder=False)
        self._check_digest(path)
        return path

    def fingerprint(self) -> str:
        """ETag and date of a URL or an object; size and date of a file."""
        if is_url(self.location):
            return url_fingerprint(self.location, bearer(self.token_env))
        if is_s3(self.location):
            return self._bucket.fingerprint(self.location)
        path = existing(self.location, folder=False)
        return fingerprint([path], path.parent)

    @property
    def _bucket(self) -> Bucket:
        return Bucket(endpoint=self.endpoint, anonymous=self.anonymous)

    def _check_digest(self, path: Path) -> None:
        if self.sha256 and digest_file(path) != PREFIX + self.sha256.lower():
            raise IntegrityError(
                f"{self.location} has not the declared sha256 {self.sha256}.",
                hint="Compare the file with its publisher's, and correct the one that is wrong.",
            )


def bearer(variable: str) -> dict[str, str]:
    """Return the request's headers with the token that an environment variable holds; none when none is named.

    :raises UserError: it is not set where the step runs.
    """
    if not variable:
        return {}
    return {"Authorization": f"Bearer {secret(variable)}"}


def secret(variable: str) -> str:
    """Return what an environment variable holds.

    :raises UserError: it is not set where the step runs.
    """
    value = os.environ.get(variable, "")
    if not value:
        raise UserError(
            f"The environment variable {variable}, which the source names for its secret, is not set.",
            hint="Set it where the worker runs; a secret never belongs into a DAG file.",
        )
    return value
