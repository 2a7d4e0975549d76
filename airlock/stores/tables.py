"""Lance below the datasets: where a table lies, how it is opened, and what its errors mean."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from airlock.errors import AirlockError, InfrastructureError, IntegrityError, ResourceError, UserError
from airlock.stores.objects import FileObjects, Objects, S3Objects, open_objects

if TYPE_CHECKING:
    import lance

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
BRANCH = "@"
SUFFIX = ".lance"
MISSING = re.compile(r"was not found|/_versions,")


class Tables:
    """Lance tables below a folder or S3 prefix.

    :param uri: ``file:///…`` or ``s3://…``; S3 settings come from the environment, as for boto3.
    """

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        if parts.scheme not in ("file", "s3"):
            raise UserError(
                f"The datasets' URI {uri!r} has the scheme {parts.scheme!r}, not file or s3.",
                hint="Set AIRLOCK_DATASETS.",
            )
        os.environ.setdefault("LANCE_LOG", "error")  # it warns that a dataset which is being made is not there
        self.uri = uri
        self.root = unquote(parts.path) if parts.scheme == "file" else uri.rstrip("/")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        insecure = {"allow_http": "true"} if endpoint and endpoint.startswith("http://") else {}
        self.options = {"aws_endpoint": endpoint, **insecure} if parts.scheme == "s3" and endpoint else {}

    @cached_property
    def objects(self) -> Objects:
        """The same place as plain objects: what Lance does not keep (tombstones) lies beside the tables."""
        return open_objects(self.uri)

    def path(self, name: str) -> str:
        """Return where a table lies; its branches lie inside it.

        :param name: of the dataset, or ``dataset@branch``.
        :raises UserError: the name cannot be a file's.
        """
        table, branch = split(name)
        if not NAME.fullmatch(table) or (branch and not NAME.fullmatch(branch)):
            raise UserError(
                f"{name!r} is no name for a dataset.",
                hint="Use letters, digits, dots, _ and -; a branch comes after an @.",
            )
        return f"{self.root}/{table}{SUFFIX}"

    def open(self, name: str, version: int | None = None) -> "lance.LanceDataset | None":
        """Open a version of a table, by default the latest; ``None`` when there is none."""
        import lance

        path, branch = self.path(name), split(name)[1]
        try:
            if not branch:
                return lance.dataset(path, version=version, storage_options=self.options)
            return lance.dataset(path, storage_options=self.options).checkout_version((branch, version))
        except (OSError, ValueError) as error:
            if MISSING.search(str(error)):
                return None
            raise

    def names(self) -> list[str]:
        """Return the names of the tables, sorted."""
        found = (name.removesuffix(SUFFIX) for name in self._folders() if name.endswith(SUFFIX))
        return sorted(name for name in found if NAME.fullmatch(name))

    def _folders(self) -> list[str]:
        if isinstance(self.objects, FileObjects):
            root = self.objects.root
            return [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
        return [folder.rstrip("/") for folder in cast("S3Objects", self.objects).folders()]


def split(name: str) -> tuple[str, str]:
    """Return dataset and branch of a name; the main line's branch is empty."""
    table, _, branch = name.partition(BRANCH)
    return table, branch


@contextmanager
def table_errors(what: str) -> Iterator[None]:
    """Give Lance's errors, which are mostly ``ValueError``, a class that says who must act."""
    try:
        yield
    except AirlockError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise _translated(what, str(error)) from error


def _translated(what: str, said: str) -> AirlockError:
    low = said.lower()
    brief = said.partition(", /")[0][:300]  # the rest is a place in Lance's source
    if "no space left" in low or "quota" in low:
        return ResourceError(f"No space left to write {what}.", hint="Free space where the datasets lie, then retry.")
    if "conflict" in low:
        return InfrastructureError(f"Another run wrote {what} at the same time.", hint="Run the task again.")
    if "permission denied" in low or "read-only" in low:
        return InfrastructureError(f"Cannot write {what}: {brief}.", hint="Check the folder's permissions.")
    if "generic s3" in low and "not found" not in low:
        return InfrastructureError(f"The store of {what} does not answer: {brief}.", hint="Check endpoint and keys.")
    return IntegrityError(
        f"The files of {what} are missing or altered: {brief}.", hint="Run the version step with cache=False."
    )
