"""The wait for people's answers: a deferred task, no worker slot."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airlock.errors import AirlockError
from airlock.hooks.artifacts import ArtifactsHook
from airlock.operators.labeling.trigger import LabelsTrigger
from airlock.operators.links import LABELLING
from airlock.operators.outputs import NamedOutputs

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airlock.labeling.handoff import HandOff


class WaitForLabelsOperator(NamedOutputs, BaseOperator):
    """Wait until people answered, holding no worker slot.

    How it works: defers to a trigger that counts answers every ``poll`` seconds. A webhook only wakes it earlier;
    what counts is what the project holds. A server that is away is waited for.

    How it ends: enough samples have their answers; or samples were deleted in Label Studio, which fails it, because
    they can never be answered: clear ``hand_off`` to push them again. A deadline is Airflow's ``execution_timeout``.

    :param handoff: the hand-off.
    :param share: share of the samples that must have all their answers, 0 to 1.
    :param poll: seconds between two counts.
    :param reminder: seconds without progress after which the log says who is awaited.
    :param conn_id: Airflow connection of type ``airlock_label_studio``; ``None`` for the settings.
    """

    template_fields: Sequence[str] = ("handoff", "share")
    operator_extra_links = (LABELLING,)
    ui_color = "#f9e3c0"

    def __init__(
        self,
        *,
        handoff: Any,
        share: float = 1.0,
        poll: float = 30.0,
        reminder: float = 24 * 3600.0,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(**kwargs)
        self.handoff = handoff
        self.share = share
        self.poll = poll
        self.reminder = reminder
        self.conn_id = conn_id
        self.result_links: dict[str, str] = {}

    @cached_property
    def asked(self) -> "HandOff":
        """The hand-off's document."""
        from airlock.labeling.handoff import read_hand_off

        return read_hand_off(ArtifactsHook().get_conn().read(str(self.handoff["digest"])))

    def execute(self, context: "Context") -> dict[str, Any]:
        """Defer, unless nothing was asked."""
        try:
            asked = self.asked
        except AirlockError as error:
            raise self._failure(error) from error
        self.result_links = {"Labelling project": asked.url}
        if not asked.tasks:
            return self._done(context, "Nothing to wait for.", {})
        self.log.info("Waiting for answers about %s samples at %s.", asked.tasks, asked.url)
        return self.defer(
            trigger=LabelsTrigger(
                handoff=str(self.handoff["digest"]),
                share=float(self.share),
                poll=self.poll,
                reminder=self.reminder,
                conn_id=self.conn_id,
            ),
            method_name="execute_complete",
            timeout=self.execution_timeout,
        )

    def execute_complete(self, context: "Context", event: dict[str, Any]) -> dict[str, Any]:
        """Go on, or fail with what the trigger saw."""
        self.result_links = {"Labelling project": self.asked.url}
        if event["status"] != "complete":
            raise AirflowFailException(event["message"])
        return self._done(context, event["message"], event["progress"])

    def _done(self, context: "Context", line: str, progress: dict[str, Any]) -> dict[str, Any]:
        self.log.info("%s", line)
        context["ti"].xcom_push(key="summary", value={"headline": line, "table": "", "cached": False})
        return {"handoff": self.handoff, "progress": progress}

    def _failure(self, error: AirlockError) -> AirflowException:
        kind = AirflowException if error.category == "infrastructure" else AirflowFailException
        return kind(str(error))


def wait_for_labels(**kwargs: Any) -> WaitForLabelsOperator:
    """Make a :class:`WaitForLabelsOperator`; ``task_id`` defaults to ``wait_for_labels``."""
    kwargs.setdefault("task_id", "wait_for_labels")
    return WaitForLabelsOperator(**kwargs)
