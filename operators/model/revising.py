"""Refactored source as a revision of an approved candidate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.governance.revisions import Tolerances
from airlock.operators.compute import by_compute
from airlock.operators.links import MLFLOW_RUN, REPORT
from airlock.operators.model.training import TrackedStep
from airlock.operators.processes import SubprocessPlace

SOURCES = ("transform_code", "network_code")


class ReviseStep(TrackedStep):
    """Train an approved candidate again from refactored source, with its own data, parameters and seed, and compare.

    What is not equal within tolerance fails the task with the figures, after the report was stored and linked.

    :param manifest: the approved candidate's manifest.
    :param folder: the use case's; no source is taken from anywhere else.
    :param transform_code: path of the refactored ``transform.py`` below the folder; the candidate's own when empty.
    :param network_code: path of the refactored ``network.py`` or architecture below the folder, likewise.
    :param experiment: MLflow experiment.
    :param tolerances: what still counts as equal, :class:`airlock.governance.revisions.Tolerances` as plain data.
    """

    step = "revise"
    template_fields: Sequence[str] = ("manifest", "transform_code", "network_code", "experiment", "tolerances")
    operator_extra_links = (MLFLOW_RUN, REPORT)

    def __init__(
        self,
        *,
        manifest: Any,
        folder: str,
        experiment: str,
        transform_code: str = "",
        network_code: str = "",
        tolerances: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check(tolerances or {})
        self.manifest = manifest
        self.folder = folder
        self.experiment = experiment
        self.transform_code = transform_code
        self.network_code = network_code
        self.tolerances = tolerances or {}

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments, with the source that there is as artifacts."""
        return super().inputs | {name: self._source(getattr(self, name)) for name in SOURCES}

    def _source(self, name: str) -> Any:
        """Store a file of the use case's folder: whoever starts a run names it, and may name no other of the worker's.

        :raises UserError: it is not there, or elsewhere.
        """
        if not name:
            return None
        folder = Path(self.folder).resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise UserError(
                f"{name!r} is no file below {folder}.",
                hint="Put the source there; its name is relative to that folder.",
            )
        return msgspec.to_builtins(self.store_file(path))


def _check(tolerances: dict[str, float]) -> None:
    """Check what a use case declares when its DAG is parsed."""
    try:
        found = msgspec.convert(tolerances, Tolerances)
    except msgspec.ValidationError as error:
        raise UserError(
            f"These are no tolerances: {error}.", hint="They are `transform`, `outputs` and `points_lost`."
        ) from error
    for name, value in msgspec.to_builtins(found).items():
        if not value >= 0:
            raise UserError(f"A tolerance of {value} for {name} lets nothing pass.", hint="Give 0 or more.")


class ReviseOperator(SubprocessPlace, ReviseStep):
    """:class:`ReviseStep` in a subprocess of the worker."""


revise = by_compute(ReviseOperator)
