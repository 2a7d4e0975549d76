"""A dataset version and its labels, joined: what expectations look at."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airlock.digests import short
from airlock.errors import UserError
from airlock.references import DatasetVersion, LabelSet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

STORED = ("sample_id", "width", "height", "mode", "bytes", "mean", "std", "source_split", "source")


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


def metadata_frame(table: "pa.Table", labels: Mapping[str, str]) -> "pd.DataFrame":
    """Return one row per sample, ordered by id: sample_id, label, and the measures of cleaning.

    :param table: the columns :data:`STORED` of a dataset version.
    :param labels: label by sample id; a sample without one gets ``None``.
    """
    frame = table.select(list(STORED)).to_pandas().sort_values("sample_id", ignore_index=True)
    found = [labels.get(sample_id) for sample_id in frame["sample_id"]]
    frame.insert(1, "label", found)
    # pandas' own strings show a missing one as NaN; plain objects keep None.
    return frame.astype(dict.fromkeys(("sample_id", "label", "mode", "source_split", "source"), object))
