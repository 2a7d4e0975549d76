"""A dataset version and its labels, joined: what expectations and checks look at."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airlock.digests import short
from airlock.errors import UserError
from airlock.references import DatasetVersion, LabelSet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA = "metadata"
HIDDEN = ("content", "stream_", "airlock_", "_")


def check_match(dataset: DatasetVersion, labels: LabelSet) -> None:
    """Check that a label set labels this dataset version.

    :raises UserError: it labels another one.
    """
    if labels.dataset != dataset.digest:
        raise UserError(
            f"The label set {short(labels.digest)} labels the dataset version {short(labels.dataset)}, "
            f"not {dataset.name} version {dataset.version} ({short(dataset.digest)}).",
            hint="Take dataset and labels from the same version task.",
        )


def stored_metadata(columns: Iterable[str]) -> list[str]:
    """Return which columns of a dataset are metadata: all but the contents and the store's own."""
    return [name for name in columns if not name.startswith(HIDDEN)]


def metadata_frame(table: "pa.Table", labels: Mapping[str, str]) -> "pd.DataFrame":
    """Return one row per sample, ordered by id: sample_id, label, the measures of cleaning, and the source's metadata.

    :param table: metadata columns of a dataset version; the JSON in ``metadata`` becomes a column for every key, named
        ``metadata_KEY`` where the name is taken.
    :param labels: label by sample id; a sample without one gets ``None``.
    """
    documents = table[METADATA].to_pylist() if METADATA in table.column_names else []
    frame = table.drop_columns([METADATA] if documents else []).to_pandas()
    frame = frame.assign(**_expanded(documents, {*frame.columns, "label"}))
    frame = frame.sort_values("sample_id", ignore_index=True)
    frame.insert(0, "sample_id", frame.pop("sample_id"))
    found = [labels.get(sample_id) for sample_id in frame["sample_id"]]
    frame.insert(1, "label", found)
    # pandas' own strings show a missing one as NaN; plain objects keep None.
    texts = [name for name in frame.columns if _is_text(frame[name])]
    return frame.astype(dict.fromkeys(["sample_id", "label", *texts], object))


def _is_text(column: "pd.Series") -> bool:
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dtype))


def _expanded(documents: list[str | None], taken: set[str]) -> "dict[str, pd.Series]":
    import pandas as pd

    if not any(documents):
        return {}
    rows: list[dict[str, Any]] = [json.loads(document) if document else {} for document in documents]
    names = sorted({name for row in rows for name in row})
    columns = {name: pd.Series([row.get(name) for row in rows]).convert_dtypes(convert_string=False) for name in names}
    return {
        f"{METADATA}_{name}" if name in taken else name: column.astype(float) if _nullable(column) else column
        for name, column in columns.items()
    }


def _nullable(column: "pd.Series") -> bool:
    """Whether these are numbers with gaps, which pandas keeps in a type that few libraries know."""
    import pandas as pd

    return bool(
        pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) and column.isna().any()
    )
