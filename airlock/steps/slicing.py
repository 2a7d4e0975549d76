"""What slices are asked of: the metadata of a split's samples, and saved lists."""

from typing import TYPE_CHECKING

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    import pandas as pd

    from airlock.governance.manifest import DataManifest
    from airlock.model.evaluation.slices import Slice
    from airlock.model.tensors import Split


def frame_of(context: StepContext, data: "DataManifest | None", split: "Split", classes: list[str]) -> "pd.DataFrame":
    """Return the metadata of a split's samples, one row each in their order; ids and labels alone without ``data``."""
    import pandas as pd

    from airlock.steps.held_out import metadata_of

    ids = [name.decode() for name in split.ids.tolist()]
    if data is not None:
        return metadata_of(context, data, ids)
    labels = [classes[place] for place in split.y.tolist()]
    return pd.DataFrame({"sample_id": ids, "label": pd.Series(labels, dtype=object)})


def listed(context: StepContext, declared: "Slice") -> list[str]:
    """Return the sample ids of a slice's saved list.

    :raises UserError: it is still a path.
    """
    from airlock.model.evaluation.slices import ids_of

    if not isinstance(declared.samples, Artifact):
        raise UserError(
            f"Slice {declared.name!r} names the file {declared.samples}, which only the operator can read.",
            hint="Pass the slices through the step's operator.",
        )
    return ids_of(context.artifacts.read(declared.samples.digest).decode().splitlines(), declared.name)
