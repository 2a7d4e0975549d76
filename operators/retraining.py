"""Retraining: when it happens, and what becomes of a candidate that is no better than the champion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.sdk import Asset, BaseOperator, CronTriggerTimetable
from airflow.sdk.definitions.timetables.assets import AssetOrTimeSchedule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airlock.digests import short
from airlock.errors import UserError
from airlock.governance.evaluations import Evaluation
from airlock.governance.manifest import CandidateManifest, load
from airlock.hooks.artifacts import ArtifactsHook
from airlock.hooks.database import DatabaseHook
from airlock.operators.champion import champion_candidate
from airlock.operators.links import MANIFEST
from airlock.operators.outputs import NamedOutputs
from airlock.stores.ledger import Ledger

if TYPE_CHECKING:
    from airflow.sdk import Context

SCHEDULED = "scheduled"


def retraining(cron: str = "", *, on: Sequence[Asset] = (), timezone: str = "UTC") -> Any:
    """Return a ``schedule=`` for a model DAG.

    :param cron: for example ``0 3 * * 0``; empty for never by the clock.
    :param on: assets that start it as well, for example the use case's approved data; leave them out to retrain by the
        clock alone.
    :raises UserError: neither is given.
    """
    if cron and on:
        return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone=timezone), assets=list(on))
    if cron:
        return CronTriggerTimetable(cron, timezone=timezone)
    if not on:
        raise UserError("A retraining without a cron expression and without an asset never happens.", hint="Give one.")
    return list(on)


def is_scheduled(context: "Context") -> bool:
    """Say whether a timetable started this run, and no person or asset did."""
    return str(getattr(context["dag_run"].run_type, "value", context["dag_run"].run_type)) == SCHEDULED


class ChallengeOperator(NamedOutputs, BaseOperator):
    """Keep the champion when a retraining that nobody asked for made nothing better; then people are not asked either.

    How it works: in a run that a timetable started, the candidate's figure is compared with the one that the champion
    has on the same samples. No better: the ledger gets a record ``kept``, and what follows is skipped. A run that a
    person or new data started always goes on to the gates, and so does one without a champion.

    :param use_case: name of the use case.
    :param manifest: the candidate's manifest.
    :param metric: ``accuracy``, ``macro_f1``, ``log_loss``, ``brier`` or ``ece``.
    :param margin: by how much the candidate must be better.
    """

    template_fields: Sequence[str] = ("manifest",)
    operator_extra_links = (MANIFEST,)
    ui_color = "#dff3e4"

    def __init__(
        self, *, use_case: str, manifest: Any, metric: str = "accuracy", margin: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.use_case = use_case
        self.manifest = manifest
        self.metric = metric
        self.margin = margin
        self.result_links: dict[str, str] = {}

    def execute(self, context: "Context") -> dict[str, Any]:
        """Return the manifest of a candidate that goes on; skip what follows for one that does not."""
        digest = str(self.manifest["digest"])
        self.result_links = {"Manifest": digest}
        body, line = self._compared(digest)
        kept = is_scheduled(context) and body is not None and not body.pop("better")
        headline = f"Kept the champion: {line}" if kept else f"Goes on to the gates. {line}"
        self.log.info("%s", headline)
        context["ti"].xcom_push(key="summary", value={"headline": headline, "cached": False})
        if kept and body is not None:
            ti = context["ti"]
            self._record(body | {"dag": ti.dag_id, "run": ti.run_id, "reason": line})
            raise AirflowSkipException(headline)
        return {"manifest": self.manifest}

    def _compared(self, digest: str) -> tuple[dict[str, Any] | None, str]:
        store = ArtifactsHook().get_conn()
        candidate = load(store, digest, CandidateManifest)
        evaluation = msgspec.json.decode(store.read(candidate.evaluation.digest), type=Evaluation)
        mine = evaluation.all_figures
        if evaluation.champion is not None:
            champion, theirs = evaluation.champion.manifest, evaluation.champion.measured.figures
        else:
            champion, model = champion_candidate(store, self.use_case)
            if model is None or model.digest != candidate.model.digest:
                return None, "There is no champion to compare with."
            theirs = mine  # it is the champion's own model, made again
        if self.metric not in mine or self.metric not in theirs:
            raise AirflowFailException(
                f"There is no figure {self.metric!r} of both models. Figures: {', '.join(sorted(mine))}."
            )
        gain = (mine[self.metric] - theirs[self.metric]) * (-1 if self.metric in LOWER_IS_BETTER else 1)
        body = {
            "use_case": self.use_case,
            "manifest": digest,
            "champion": champion,
            "metric": self.metric,
            "candidate": mine[self.metric],
            "before": theirs[self.metric],
            "margin": self.margin,
            "better": gain > self.margin,
        }
        return body, (
            f"{self.metric} {mine[self.metric]:.4f} against {theirs[self.metric]:.4f} of champion "
            f"{short(champion)} on the same {evaluation.count} samples."
        )

    def _record(self, body: dict[str, Any]) -> None:
        """Append it once, however often the task runs."""
        ledger = Ledger(DatabaseHook().get_conn())
        if not any(record.kind == "kept" and record.body == body for record in ledger.records()):
            ledger.append("kept", body)


LOWER_IS_BETTER = ("log_loss", "brier", "ece")


def challenge(**kwargs: Any) -> ChallengeOperator:
    """Make a :class:`ChallengeOperator`; ``task_id`` defaults to ``challenge``."""
    kwargs.setdefault("task_id", "challenge")
    return ChallengeOperator(**kwargs)
