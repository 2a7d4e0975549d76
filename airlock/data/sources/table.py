"""A table in a file: where it is, and what its columns mean."""

from pathlib import Path

from airlock.data.download import is_url
from airlock.data.sources.bucket import is_s3
from airlock.data.sources.location import Location
from airlock.data.sources.rows import Columns


class Table(Location, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table in a file, a sample a row.

    :param columns: what its columns mean.
    """

    columns: Columns = Columns()

    def __post_init__(self) -> None:
        if self.columns.file and (is_url(self.location) or is_s3(self.location)):
            raise ValueError("a table that is not on this machine cannot name files: use the kind manifest for URLs")

    @property
    def folder(self) -> Path:
        """The folder the table lies in."""
        return Path(self.location).expanduser().parent
