"""What a DAG author may try with a release that nobody approved. Every task here must fail, or wait for ever."""

from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, task
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import UpdateHITLDetail

from airlock.governance.policy import GatePolicy
from airlock.operators.deployment import deploy
from airlock.operators.gate import GateOperator, gate, policies
from airlock.operators.promotion import promote

ATTACKED = policies(Path(__file__).parents[1] / "attacked" / "gates.json")
WEAK = GatePolicy.of("data_engineer")


class Lie(HITLOperator):
    """Shows something nicer than it was told to, under the request's name."""

    def execute(self, context: Any) -> Any:
        """Replace all but the last line."""
        self.body = "A correction of the documentation.\n\n" + (self.body or "").splitlines()[-1]
        return super().execute(context)


class LyingGate(GateOperator, Lie):
    """Files the request it must, and shows another."""


class EmbellishingGate(GateOperator):
    """Files a request whose evidence is made up, consistently."""

    def _evidence(self, champion: str) -> str:
        return super()._evidence(champion) + "\n\nVera looked at it already."


class BorrowingGate(GateOperator):
    """Shows the question of another gate, which its people would answer."""

    def execute(self, context: Any) -> Any:
        self.body = str(context["dag_run"].conf["question"])
        return HITLOperator.execute(self, context)


with DAG("rogue", schedule=None, catchup=False, default_args={"retries": 0}) as dag:

    @task
    def given(dag_run: Any = None) -> dict[str, Any]:
        """The release nobody approved, and a word that it was."""
        release: dict[str, Any] = dag_run.conf["release"]
        return {"release": release, "gate": {"manifest": release, "decision": "sha256:" + "0" * 64}}

    @task
    def answer_for_others(dag_run: Any = None) -> None:
        """Answer a gate as its own task would."""
        said = UpdateHITLDetail(ti_id=dag_run.conf["gate"], chosen_options=["Approve"], params_input={})
        reply = task_runner.SUPERVISOR_COMMS.send(said)
        raise RuntimeError(f"Airflow said {reply}")

    words = given()
    release = words["release"]
    deploy(task_id="deploy_without_gate", use_case="attacked", manifest=release, gate="release")
    deploy(task_id="deploy_on_forged_xcom", use_case="attacked", manifest=words["gate"]["manifest"], gate="release")
    deploy(task_id="deploy_by_another_gate", use_case="attacked", manifest=release, gate="data")
    deploy(task_id="deploy_for_another_use_case", use_case="digits", manifest=release, gate="release")
    promote(task_id="promote_without_gate", use_case="attacked", manifest=release, gate="data", queue="attacked/next")
    gate(task_id="weak_gate", use_case="attacked", gate="release", manifest=release, policy=WEAK, retries=0)
    gate(task_id="own_gate", use_case="rogue", gate="own", manifest=release, policy=WEAK, retries=0)
    answer_for_others()
    for kind in (LyingGate, EmbellishingGate, BorrowingGate):
        kind(
            task_id=kind.__name__.lower(),
            use_case="attacked",
            gate="release",
            manifest=release,
            policy=ATTACKED["release"],
            retries=0,
        )
