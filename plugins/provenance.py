"""Who submitted, trained and labelled what a request is about: from Airflow's runs and the labels, not from the DAG."""

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select

from airlock.governance.book import Book
from airlock.governance.manifest import CandidateManifest, DataManifest, chain
from airlock.governance.policy import GatePolicy, Part
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.stores.gates import GateRequest
from airlock.stores.labels import LabelStore


def barred(book: Book, request: GateRequest, policy: GatePolicy) -> list[str]:
    """Return the names of those whom the policy's four eyes keep out."""
    parts = people_of(book, request) if policy.exclude else {}
    return sorted({name for part in policy.exclude for name in parts[part]})


def people_of(book: Book, request: GateRequest) -> dict[Part, list[str]]:
    """Return who had a part in what a request is about.

    The submitter started the request's run, the trainer the one that asked about the candidate. A run that an asset
    or the queue started has nobody's name: then it is whoever started the nearest run before it in the chain.
    """
    manifests = chain(ArtifactsHook().get_conn(), request.manifest)
    runs = [(request.dag, request.run), *(run for digest in manifests for run in _runs_about(book, digest))]
    candidates = [digest for digest, manifest in manifests.items() if isinstance(manifest, CandidateManifest)]
    trained = [run for digest in candidates for run in _runs_about(book, digest)]
    data = next((m for m in manifests.values() if isinstance(m, DataManifest)), None)
    labels = LabelStore(DatabaseHook().get_conn())
    return {
        "submitter": _starter(runs),
        "trainer": _starter([*trained, *runs]) if trained else [],
        "labeler": labels.annotators(data.labels.dataset) if data else [],
    }


def _runs_about(book: Book, manifest: str) -> list[tuple[str, str]]:
    return [(request.dag, request.run) for request in book.requests.values() if request.manifest == manifest]


def _starter(runs: list[tuple[str, str]]) -> list[str]:
    """Who started the first of these runs that somebody started."""
    for dag, run in runs:
        with create_session() as session:
            query = select(DagRun.triggering_user_name).where(DagRun.dag_id == dag, DagRun.run_id == run)
            if name := session.scalar(query):
                return [name]
    return []
