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
    frame.insert(1, "label", _plain([labels.get(sample_id) for sample_id in frame["sample_id"]]))
    for name in frame.columns:
        if _is_text(frame[name]):
            frame[name] = _plain(frame[name].tolist())
    return frame


def _plain(values: list[Any]) -> "pd.Series":
    """Return a column of plain objects: pandas' own strings show a missing one as NaN, these keep None."""
    import pandas as pd

    return pd.Series([None if value is None or value != value else value for value in values], dtype=object)


def _is_text(column: "pd.Series") -> bool:
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(column.dtype))


def _expanded(documents: list[str | None], taken: set[str]) -> "dict[str, pd.Series]":
    if not any(documents):
        return {}
    rows: list[dict[str, Any]] = [json.loads(document) if document else {} for document in documents]
    names = sorted({name for row in rows for name in row})
    return {f"{METADATA}_{name}" if name in taken else name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> "pd.Series":
    """Numbers become numbers, with NaN where one is missing; anything else stays as it is."""
    import pandas as pd

    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return pd.Series(pd.to_numeric(pd.Series(values, dtype=object)))
    return pd.Series(values, dtype=object)
