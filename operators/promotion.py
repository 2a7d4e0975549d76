"""Between the pipelines: an approved manifest is queued for the next DAG, which takes it exactly once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airlock.digests import digest_bytes, short
from airlock.errors import NotApproved
from airlock.governance.approval import require_standing
from airlock.governance.book import Book
from airlock.governance.manifest import MEDIA_TYPE, load_any
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.operators.links import MANIFEST
from airlock.operators.outputs import NamedOutputs
from airlock.operators.retraining import is_scheduled
from airlock.operators.step import rework_of
from airlock.operators.trigger import QUEUED, run_is_gone, start_run
from airlock.references import Artifact
from airlock.settings import settings
from airlock.stores.ledger import Ledger, Record
from airlock.stores.queue import PromotionQueue

if TYPE_CHECKING:
    from airflow.sdk import Context


class PromiseOperator(NamedOutputs, BaseOperator):
    """Base of the operators that act on an approval: they verify it themselves and fail closed.

    :param use_case: name of the use case.
    :param gate: the gate whose approval is required.
    """

    ui_color = "#dff3e4"
    operator_extra_links = (MANIFEST,)

    def __init__(self, *, use_case: str, gate: str, **kwargs: Any) -> None:
        # What it does is done once however often it runs, so a store that is away for a moment costs no run.
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(**kwargs)
        self.use_case = use_case
        self.gate = gate
        self.result_links: dict[str, str] = {}

    def approved(self, digest: str) -> tuple[Artifact, Record]:
        """Return the manifest whose bytes hash to the digest and the decision that approved exactly it.

        A revision stands for a candidate that this gate approved, once the ``revision`` gate approved the revision.

        :raises AirflowFailException: no such decision, or one that does not verify.
        """
        store, database = ArtifactsHook().get_conn(), DatabaseHook().get_conn()
        artifact = Artifact(digest=digest, size=len(store.read(digest)), media_type=MEDIA_TYPE)
        self.result_links = {"Manifest": digest}
        try:
            keys = settings().public_keys
            record = require_standing(Ledger(database), store, digest, self.gate, keys, self.use_case)
        except NotApproved as error:
            raise AirflowFailException(str(error)) from error
        return artifact, record


class PromoteOperator(PromiseOperator):
    """Queue an approved manifest for the next pipeline and wake it through this task's outlet asset.

    :param manifest: the manifest.
    :param queue: name of the promotion queue, by convention ``<use case>/<next pipeline>``.
    """

    template_fields: Sequence[str] = ("manifest",)

    def __init__(self, *, manifest: Any, queue: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        # ``queue`` is Airflow's own word for executor queues.
        self.promotion_queue = queue

    def execute(self, context: "Context") -> dict[str, Any]:
        """Verify the approval, record the promotion and queue the manifest once."""
        digest = str(self.manifest["digest"])
        _, record = self.approved(digest)
        database = DatabaseHook().get_conn()
        self._record(Ledger(database), digest, record)
        queue = PromotionQueue(database)
        queue.put(self.promotion_queue, digest, record.hash, _revised(digest))
        queue.finish(context["ti"].dag_id, context["ti"].run_id, "promoted")
        context["ti"].xcom_push(
            key="summary",
            value={"headline": f"Manifest {short(digest)} queued for {self.promotion_queue}.", "cached": False},
        )
        return {"manifest": self.manifest, "decision": record.hash}

    def _record(self, ledger: Ledger, digest: str, approval: Record) -> None:
        """Append the promotion before anybody can claim it, and once however often the task runs."""
        body = {"use_case": self.use_case, "manifest": digest, "queue": self.promotion_queue, "decision": approval.hash}
        if not any(record.kind == "promotion" and record.body == body for record in ledger.records()):
            ledger.append("promotion", body)


class ClaimOperator(PromiseOperator):
    """Take the next approved manifest from the promotion queue; the run skips when there is none.

    A run that a timetable started (:func:`~airlock.operators.retraining.retraining`) takes what the gate approved last
    when nothing waits.

    A run that names its manifest (``{"manifest": "sha256:…"}`` in its configuration) works on that one instead,
    which must be approved just the same.

    :param queue: name of the promotion queue.
    """

    def __init__(self, *, queue: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.promotion_queue = queue

    def execute(self, context: "Context") -> dict[str, Any]:
        """Claim a manifest and verify its approval."""
        ti = context["ti"]
        artifact, record = self._reworked(context) or self.approved(self._named(context) or self._claimed(context))
        line = f"Working on manifest {short(artifact.digest)}, approved by record {record.seq}.{asked_for(context)}"
        self.log.info("%s", line)
        ti.xcom_push(key="summary", value={"headline": line, "cached": False})
        return {"manifest": msgspec.to_builtins(artifact), "decision": record.hash}

    @property
    def items(self) -> PromotionQueue:
        """The promotion queues."""
        return PromotionQueue(DatabaseHook().get_conn())

    def _named(self, context: "Context") -> str:
        conf: dict[str, Any] = context["dag_run"].conf or {}
        return str(conf.get("manifest") or "")

    def _reworked(self, context: "Context") -> tuple[Artifact, Record] | None:
        """In a run that a rejection started: what the rejected manifest grew from and this gate approved."""
        rework, ti = rework_of(context), context["ti"]
        for digest in rework.get("chain", []):
            try:
                found = self.approved(str(digest))
            except AirflowFailException:
                self.log.debug("Manifest %s is not from the %s gate.", digest, self.gate)
                continue
            if origin := rework.get("origin"):
                self.items.take_over(self.promotion_queue, (origin["dag"], origin["run"]), ti.dag_id, ti.run_id)
            return found
        return None

    def _claimed(self, context: "Context") -> str:
        dag, run = context["ti"].dag_id, context["ti"].run_id
        self._give_back()
        item = self.items.claim(self.promotion_queue, dag, run)
        if item is None and is_scheduled(context) and (newest := self._newest()):
            return newest
        if item is None:
            raise AirflowSkipException(f"Nothing waits in the promotion queue {self.promotion_queue}.")
        # Airflow may wake this DAG once for several asset events: whoever is left in the queue gets a run of its own.
        # This run's name is in that run's: what another run started for it may have taken something else.
        if left := self.items.waiting(self.promotion_queue):
            by = short(digest_bytes(run.encode()))
            why = f"More than one manifest waited in {self.promotion_queue}."
            start_run(dag, f"{QUEUED}{left[0].id}__{by}", {}, why)
        return item.manifest

    def _newest(self) -> str:
        """What this gate approved last: retraining works on it again."""
        closings = Book.open(Ledger(DatabaseHook().get_conn()), settings().public_keys).closings.values()
        mine = [
            (record.seq, closing.manifest)
            for closing, record in closings
            if (closing.use_case, closing.gate, closing.verdict) == (self.use_case, self.gate, "approved")
        ]
        return max(mine)[1] if mine else ""

    def _give_back(self) -> None:
        """Let items wait again whose runs were deleted."""
        for item in self.items.claimed(self.promotion_queue):
            if item.dag and item.run and run_is_gone(item.dag, item.run):
                state = self.items.give_back(item)
                self.log.warning("Run %s of %s is gone: manifest %s is %s.", item.run, item.dag, item.manifest, state)


def _revised(digest: str) -> str:
    """The manifest whose place a revision takes; empty for what is none."""
    return str(getattr(load_any(ArtifactsHook().get_conn(), digest), "revises", ""))


def asked_for(context: "Context") -> str:
    """In a run that a rejection started: who asked for it, and the reviewer's note."""
    rework = rework_of(context)
    if not rework:
        return ""
    note = f": “{rework['note']}”" if rework.get("note") else "."
    return f" Rework from the {rework.get('gate')} gate, asked for by {rework.get('by', 'a reviewer')}{note}"


def promote(**kwargs: Any) -> PromoteOperator:
    """Make a :class:`PromoteOperator`; ``task_id`` defaults to ``promote``."""
    kwargs.setdefault("task_id", "promote")
    return PromoteOperator(**kwargs)


def claim(**kwargs: Any) -> ClaimOperator:
    """Make a :class:`ClaimOperator`; ``task_id`` defaults to ``claim``."""
    kwargs.setdefault("task_id", "claim")
    return ClaimOperator(**kwargs)
