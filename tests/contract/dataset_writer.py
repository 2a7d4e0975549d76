"""A process that appends batches to a dataset and says on standard output which were acknowledged.

``python dataset_writer.py URI NAME WRITER BATCHES``
"""

import sys

import pyarrow as pa

from airlock.stores.datasets import open_datasets

ROWS = 5


def batch(writer: int, number: int) -> pa.Table:
    """Return the rows of a writer's batch."""
    ids = [f"{writer:03}-{number:04}-{row}" for row in range(ROWS)]
    return pa.table({"sample_id": ids, "content": [identity.encode() * 50 for identity in ids]})


def main() -> None:
    """Append every batch, from the first."""
    uri, name, writer, batches = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = open_datasets(uri)
    for number in range(batches):
        store.append(name, batch(writer, number), {"writer": writer, "batch": number})
        print(number, flush=True)


if __name__ == "__main__":
    main()
