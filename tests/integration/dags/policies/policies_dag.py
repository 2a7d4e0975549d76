"""One DAG for every policy: a gate about the manifest in the run's configuration, and what it protects."""

from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airlock.operators.gate import GateOperator, gate, policies

NAME = "policies"
ABOUT = "{{ dag_run.conf.get('manifest') or {'digest': (dag_run.conf['rework']['chain'] | first)} }}"

for name, policy in policies(Path(__file__).with_name("gates.json")).items():
    with DAG(f"{NAME}_{name}", schedule=None, catchup=False, render_template_as_native_obj=True) as dag:
        if name == "mapped":
            several = GateOperator.partial(task_id="mapped_gate", use_case=NAME, gate=name, policy=policy)
            asked = several.expand(manifest=[{"digest": f"{{{{ dag_run.conf['digests'][{n}] }}}}"} for n in range(2)])
        else:
            asked = gate(use_case=NAME, gate=name, policy=policy, manifest=ABOUT)
        asked >> EmptyOperator(task_id="protected")
    globals()[dag.dag_id] = dag
