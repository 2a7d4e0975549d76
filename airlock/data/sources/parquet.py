"""Tables in columns: Parquet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airlock.data.download import Report
from airlock.data.sources.rows import Row, samples
from airlock.data.sources.source import Sequential
from airlock.data.sources.table import Table
from airlock.errors import SourceError

ROWS = 1000


class Parquet(Table, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="parquet"):
    """A Parquet file; it is read in batches, so memory stays flat."""

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator[Sequential]:
        """Look at the key and the schema of every row before the first sample."""
        path = self.local(workdir, report)
        yield samples(lambda: self._rows(path), self.columns, self.name, self.folder)

    def _rows(self, path: Path) -> Iterator[tuple[int, Row]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{self.name} is no Parquet file, or is damaged or cut short: {str(error).partition(chr(10))[0]}.",
                hint="Fetch it again and compare its size with the publisher's.",
            ) from error
