"""Publishing a version: what a writer saw as the newest version must still be it, or nothing is published.

Lance alone would let two appends pass each other. Here every change is an ``Update`` that names all fragments it
keeps, which conflicts with any other change: so the digest written with a version is that of exactly its rows, and a
batch that a killed writer and its successor both bring is there once.
"""

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airlock.errors import InfrastructureError
from airlock.stores.datasets.writing import KEY
from airlock.stores.rows import BRIEF, ROW, SIZE, among, brief, fixed
from airlock.stores.tables import Tables

if TYPE_CHECKING:
    import lance
    import numpy as np
    import pyarrow as pa
    from lance.fragment import FragmentMetadata, LanceFragment
    from numpy.typing import NDArray

Made = TypeVar("Made")
PATIENCE = 300.0  # seconds
PAUSES = (0.01, 0.5)
CREATING = 20.0


class Conflict(Exception):
    """Somebody else published first."""


def retried(what: str, attempt: Callable[[], Made]) -> Made:
    """Call until nobody else published in between.

    :raises InfrastructureError: others were faster for minutes.
    """
    end, pause = time.monotonic() + PATIENCE, PAUSES[0]
    while True:
        try:
            return attempt()
        except Conflict as error:
            if time.monotonic() > end:
                raise InfrastructureError(
                    f"Other runs wrote {what} for {PATIENCE:.0f} s without a break.", hint="Run the task again."
                ) from error
            time.sleep(random.uniform(0, pause))
            pause = min(pause * 2, PAUSES[1])


class Removal:
    """What a version loses: fragments as they will be, and the keys that go.

    :param base: the opened version before.
    :param gone: sorted row digests, or their briefs, that the new version does not have.
    """

    def __init__(self, base: "lance.LanceDataset", gone: "NDArray[np.bytes_] | None" = None) -> None:
        import numpy as np

        self.kept: list[FragmentMetadata] = []
        self.removed: list[int] = []
        self.keys: list[str] = []
        if gone is None or not len(gone):
            self.kept = [fragment.metadata for fragment in base.get_fragments()]
            return
        gone = gone if gone.dtype.itemsize == BRIEF else brief(gone)
        lost = [self._leave(fragment, gone) for fragment in base.get_fragments()]
        self.keys = _keys(base, np.concatenate(lost))

    def _leave(self, fragment: "LanceFragment", gone: "NDArray[np.bytes_]") -> "NDArray[np.uint64]":
        """Take what goes out of a fragment; return the row ids of that."""
        rows = fragment.to_table(columns=[ROW], with_row_id=True)
        ids: NDArray[np.uint64] = rows.column("_rowid").to_numpy()
        lost, _ = among(brief(fixed(rows.column(ROW), SIZE)), gone)
        if not lost.any():
            self.kept.append(fragment.metadata)
        elif lost.all():
            self.removed.append(fragment.fragment_id)
        elif lost.sum() * 2 <= len(lost):
            self.kept.append(fragment.delete(_among(ids[lost])))
        else:  # the shorter list
            self.kept.append(fragment.delete(f"NOT ({_among(ids[~lost])})"))
        return ids[lost]


def publish(
    base: "lance.LanceDataset",
    new: "list[FragmentMetadata]",
    properties: dict[str, str],
    removal: Removal,
) -> "lance.LanceDataset":
    """Make a version of an opened one: with new fragments, without some rows.

    :raises Conflict: the opened version is no longer the newest.
    """
    from lance import LanceDataset, LanceOperation, Transaction
    from lance.commit import CommitConflictError

    operation = (
        LanceOperation.Update(removed_fragment_ids=removal.removed, updated_fragments=removal.kept, new_fragments=new)
        if removal.kept or removal.removed
        else LanceOperation.Merge(_numbered(new), base.lance_schema)  # an update of nothing conflicts with nothing
    )
    transaction = Transaction(read_version=base.version, operation=operation, transaction_properties=properties)
    try:
        return LanceDataset.commit(base, transaction, max_retries=0)
    except CommitConflictError as error:
        raise Conflict(str(error)) from error
    except OSError as error:
        if "conflict" in str(error).lower():
            raise Conflict(str(error)) from error
        raise


def replace(
    tables: Tables, name: str, new: "list[FragmentMetadata]", schema: "pa.Schema", properties: dict[str, str]
) -> "lance.LanceDataset":
    """Make a version that is only these fragments: the first one, or one with other columns."""
    from lance import LanceDataset, LanceOperation, Transaction

    latest = tables.open(name)
    transaction = Transaction(
        read_version=latest.version if latest else 0,
        operation=LanceOperation.Overwrite(schema, new),
        transaction_properties=properties,
    )
    return LanceDataset.commit(latest or tables.path(name), transaction, storage_options=tables.options)


def opened_or_created(tables: Tables, name: str, schema: "pa.Schema") -> "lance.LanceDataset":
    """Open a table, or make it, without rows, when it is not there; of many who try at once one makes it.

    The others wait; when that one died, the next one in line does it.
    """
    import lance

    turn = 0
    while (found := tables.open(name)) is None:
        if tables.objects.create(f"{name}.airlock/created/{turn}", b""):
            return lance.write_dataset(
                schema.empty_table(), tables.path(name), mode="create", storage_options=tables.options
            )
        end = time.monotonic() + CREATING
        while tables.open(name) is None and time.monotonic() < end:
            time.sleep(PAUSES[0])
        turn += 1
    return found


def _keys(data: "lance.LanceDataset", ids: "NDArray[np.uint64]") -> list[str]:
    import pyarrow as pa

    found: list[str] = data._take_rows(pa.array(ids), columns=[KEY]).column(KEY).to_pylist() if len(ids) else []
    return found


def _among(ids: "NDArray[np.uint64]") -> str:
    # By number a fragment finds its rows three times as fast as by their keys.
    return f"_rowid IN ({','.join(map(str, ids.tolist()))})"


def _numbered(fragments: "list[FragmentMetadata]") -> "list[FragmentMetadata]":
    import json

    from lance.fragment import FragmentMetadata

    documents = [json.loads(json.dumps(fragment.to_json())) | {"id": n} for n, fragment in enumerate(fragments)]
    return [FragmentMetadata.from_json(json.dumps(document)) for document in documents]
