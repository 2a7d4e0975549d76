"""OpenLineage events of steps, when a backend is configured as its client knows it (``OPENLINEAGE_URL`` and the like).

A step is a run of the job ``dag.task``; what it took and gave are its datasets, named by digest or dataset name.
"""

import logging
import os
import uuid
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from airlock.lineage.edges import Edge, edges_of
from airlock.settings import Settings
from airlock.steps.contract import Result, Spec

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import DatasetFacet

log = logging.getLogger(__name__)
CONFIGURED = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT")
NAMESPACE = uuid.UUID("6f0b2c9e-6f4e-5d0c-9a55-3d1d0a3a8f61")
"""Of our run ids: the same try of a task has the same id wherever it is computed."""


def configured() -> bool:
    """Say whether a backend is configured and not switched off."""
    off = os.environ.get("OPENLINEAGE_DISABLED", "").lower() in ("1", "true")
    return not off and any(name.startswith(CONFIGURED) for name in os.environ)


def emit(spec: Spec, result: Result, settings: Settings) -> None:
    """Tell the backend that a step ran and how it ended; a backend that is away is logged and fails no step."""
    if not configured():
        return
    try:
        from openlineage.client import OpenLineageClient
        from requests import RequestException
    except ModuleNotFoundError as error:
        log.warning("OpenLineage is configured, but not installed (%s): pip install 'airlock[openlineage]'.", error)
        return
    try:
        client = OpenLineageClient()
        for event in events(spec, result, settings):
            client.emit(event)
    except RequestException as error:
        log.warning("The OpenLineage backend took no event of %s: %s", spec.run.path, error)


def events(spec: Spec, result: Result, settings: Settings) -> "list[RunEvent]":
    """Return the two events of a run: its start, and how it ended."""
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import RunFacet, error_message_run, parent_run

    namespace = os.environ.get("OPENLINEAGE_NAMESPACE", "airlock")
    job = Job(namespace=namespace, name=f"{spec.run.dag}.{spec.run.task}")
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=run_id(f"{spec.run.dag}/{spec.run.run}")),
        job=parent_run.Job(namespace=namespace, name=spec.run.dag),
    )
    facets: dict[str, RunFacet] = {"parent": parent}
    ended = dict(facets)
    if result.failure:
        ended["errorMessage"] = error_message_run.ErrorMessageRunFacet(result.failure.message, "python")
    edges = list(edges_of(spec.run.path, spec.step, spec.inputs, result.outputs))
    inputs, outputs = _inputs(edges, settings), _outputs(edges, settings)
    last = RunState.FAIL if result.failure else RunState.COMPLETE
    moments = ((RunState.START, result.started, facets), (last, result.ended, ended))
    return [
        RunEvent(
            eventType=state,
            eventTime=datetime.fromtimestamp(moment, UTC).isoformat(),
            run=Run(runId=run_id(spec.run.path), facets=with_facets),
            job=job,
            producer=f"https://pypi.org/project/airlock/{version('airlock')}",
            inputs=inputs,
            outputs=outputs if state == RunState.COMPLETE else [],
        )
        for state, moment, with_facets in moments
    ]


def run_id(path: str) -> str:
    """Return the id of a run by its path, see :attr:`airlock.steps.contract.RunInfo.path`."""
    return str(uuid.uuid5(NAMESPACE, path))


def _inputs(edges: list[Edge], settings: Settings) -> "list[InputDataset]":
    from openlineage.client.event_v2 import InputDataset

    taken = [edge for edge in edges if edge.direction == "input"]
    return [InputDataset(*_place(edge, settings), facets=_facets(edge)) for edge in taken]


def _outputs(edges: list[Edge], settings: Settings) -> "list[OutputDataset]":
    from openlineage.client.event_v2 import OutputDataset

    given = [edge for edge in edges if edge.direction == "output"]
    return [OutputDataset(*_place(edge, settings), facets=_facets(edge)) for edge in given]


def _place(edge: Edge, settings: Settings) -> tuple[str, str]:
    node = edge.node
    if node.kind == "dataset":
        return settings.datasets, node.name.rpartition("@")[0]
    if node.kind in ("run", "model"):
        return settings.tracking, node.id
    return (settings.artifacts if node.kind != "labels" else "airlock-labels"), node.id


def _facets(edge: Edge) -> "dict[str, DatasetFacet]":
    from openlineage.client.facet_v2 import DatasetFacet, dataset_version_dataset, documentation_dataset

    told = documentation_dataset.DocumentationDatasetFacet(description=f"{edge.node.kind}, {edge.field} of {edge.step}")
    facets: dict[str, DatasetFacet] = {"documentation": told}
    if edge.node.kind == "dataset":
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=edge.node.id)
    return facets
