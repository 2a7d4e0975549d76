"""Digits, deployment pipeline: from an approved candidate to a smaller model that answers on an endpoint."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.digits import use_case as digits
from airlock.operators.deployment import canary, contract_test, deploy, package, smoke_test
from airlock.operators.gate import gate
from airlock.operators.model import compress
from airlock.operators.promotion import claim

with DAG(
    "digits_deployment",
    schedule=[digits.APPROVED_MODEL],
    catchup=False,
    max_active_runs=1,
    tags=["airlock", digits.NAME],
) as dag:
    dag.doc_md = __doc__

    candidate = claim(use_case=digits.NAME, gate="model", queue="digits/deployment")["manifest"]
    compressed = compress(
        manifest=candidate, methods=digits.COMPRESSION, rule=digits.COMPRESSION_RULE, slices=digits.SLICES
    )
    packaged = package(
        use_case=digits.NAME,
        manifest=candidate,
        model=compressed["model"],
        comparison=compressed["comparison"],
        original=compressed["original"],
        licence=digits.LICENCE,
        licences=digits.LICENCES,
    )
    release = packaged["manifest"]
    tested = contract_test(package=packaged["package"], manifest=release)

    approved = gate(
        use_case=digits.NAME,
        gate="release",
        manifest=release,
        policy=digits.GATES["release"],
    )
    tested >> approved
    served: dict[str, Any] = {"use_case": digits.NAME, "manifest": approved["manifest"], "gate": "release"}
    staged = deploy(task_id="stage", target="staging", **served)
    tried = smoke_test(endpoint=staged["endpoint"], manifest=release)
    compared = canary(rollout=digits.ROLLOUT, **served)
    tried >> compared
    deploy(after=compared["generation"], **served)
