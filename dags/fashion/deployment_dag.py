"""Fashion, deployment pipeline: from an approved candidate to a smaller model that answers on an endpoint."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.fashion import use_case as fashion
from airlock.operators.deployment import canary, contract_test, deploy, package, smoke_test
from airlock.operators.gate import gate
from airlock.operators.model import compress
from airlock.operators.promotion import claim

with DAG(
    "fashion_deployment",
    schedule=[fashion.APPROVED_MODEL],
    catchup=False,
    max_active_runs=1,
    tags=["airlock", fashion.NAME],
) as dag:
    dag.doc_md = __doc__

    candidate = claim(use_case=fashion.NAME, gate="model", queue="fashion/deployment")["manifest"]
    compressed = compress(
        manifest=candidate, methods=fashion.COMPRESSION, rule=fashion.COMPRESSION_RULE, slices=fashion.SLICES
    )
    packaged = package(
        use_case=fashion.NAME,
        manifest=candidate,
        model=compressed["model"],
        comparison=compressed["comparison"],
        original=compressed["original"],
        licence=fashion.LICENCE,
        licences=fashion.LICENCES,
    )
    release = packaged["manifest"]
    tested = contract_test(package=packaged["package"], manifest=release)

    approved = gate(
        use_case=fashion.NAME,
        gate="release",
        manifest=release,
        policy=fashion.GATES["release"],
    )
    tested >> approved
    served: dict[str, Any] = {"use_case": fashion.NAME, "manifest": approved["manifest"], "gate": "release"}
    staged = deploy(task_id="stage", target="staging", **served)
    tried = smoke_test(endpoint=staged["endpoint"], manifest=release)
    compared = canary(rollout=fashion.ROLLOUT, **served)
    tried >> compared
    deploy(after=compared["generation"], **served)
