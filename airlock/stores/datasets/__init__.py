"""Datasets: Lance tables, one per name, on a file system or S3. Every commit is an immutable version.

Beside its own columns a table has the digest of each row, so that a commit finds what changed without reading
any content, and a change of 1 % of the rows adds about 1 % of the bytes.
"""

from airlock.stores.datasets.history import Change, Entry
from airlock.stores.datasets.store import DatasetStore, open_datasets

__all__ = ["Change", "DatasetStore", "Entry", "open_datasets"]
