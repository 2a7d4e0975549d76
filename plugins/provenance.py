"""Who submitted, trained and labelled what a request is about: from Airflow's runs and the labels, not from the DAG.

A run that a person started has that person's name. One that an asset, a schedule, the promotion queue or a rejection
started has nobody's of its own, whatever name Airflow hands down to it. It was submitted by whoever submitted what it
works on: the run whose gate asked for the rework, else the runs that asked about the nearest manifest before.
"""

from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from sqlalchemy import select

from airlock.governance.book import Book
from airlock.governance.manifest import CandidateManifest, DataManifest, chain
from airlock.governance.policy import GatePolicy, Part
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.operators.trigger import QUEUED, rework_run
from airlock.stores.gates import GateRequest
from airlock.stores.labels import LabelStore


def barred(book: Book, request: GateRequest, policy: GatePolicy) -> list[str]:
    """Return the names of those whom the policy's four eyes keep out."""
    parts = people_of(book, request) if policy.exclude else {}
    return sorted({name for part in policy.exclude for name in parts[part]})


def people_of(book: Book, request: GateRequest) -> dict[Part, list[str]]:
    """Return who had a part in what a request is about.

    The submitters started runs that ask about exactly this manifest, the trainers those that asked about the
    candidate in it; the labelers gave labels to the samples of its dataset.
    """
    manifests = chain(ArtifactsHook().get_conn(), request.manifest)
    trained = [digest for digest, manifest in manifests.items() if isinstance(manifest, CandidateManifest)]
    data = next((m for m in manifests.values() if isinstance(m, DataManifest)), None)
    labels = LabelStore(DatabaseHook().get_conn())
    starters = Starters(book)
    return {
        "submitter": sorted(starters.of(request.manifest)),
        "trainer": sorted({name for digest in trained for name in starters.of(digest)}),
        "labeler": labels.people(data.labels.dataset) if data else [],
    }


class Starters:
    """Who started the runs that asked about manifests.

    :param book: the verified ledger.
    """

    def __init__(self, book: Book) -> None:
        self.requests = list(book.requests.values())
        self.reworks = {rework_run(request.id): request for request in self.requests}
        self._visited: set[str] = set()

    def of(self, manifest: str) -> set[str]:
        """Return who submitted a manifest."""
        self._visited = set()
        return self._nearest(manifest)

    def _nearest(self, manifest: str) -> set[str]:
        for digest in chain(ArtifactsHook().get_conn(), manifest):
            asked = [request for request in self.requests if request.manifest == digest]
            if found := {name for request in asked for name in self._own(request)}:
                return found
        return set()

    def _own(self, request: GateRequest) -> set[str]:
        """Whoever started this request's run; for a rework, whoever submitted what it was asked for about."""
        if request.id in self._visited:
            return set()
        self._visited.add(request.id)
        name, by_task = _started(request.dag, request.run)
        if by_task and (origin := self.reworks.get(request.run)):
            return self._own(origin) or self._nearest(origin.manifest)
        return {name} - {""} if not (by_task and request.run.startswith(QUEUED)) else set()


def _started(dag: str, run: str) -> tuple[str, bool]:
    """Return the name that Airflow keeps with a run, and whether a task started it."""
    query = select(DagRun.triggering_user_name, DagRun.triggered_by).where(DagRun.dag_id == dag, DagRun.run_id == run)
    with create_session() as session:
        name, by = session.execute(query).one_or_none() or ("", None)
    return name or "", by == DagRunTriggeredByType.OPERATOR
