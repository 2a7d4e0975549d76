"""News, deployment pipeline: from an approved candidate to a smaller model that answers on an endpoint."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.news import use_case as news
from airlock.operators.deployment import canary, contract_test, deploy, package, smoke_test
from airlock.operators.gate import gate
from airlock.operators.model import compress
from airlock.operators.promotion import claim

with DAG(
    "news_deployment",
    schedule=[news.APPROVED_MODEL],
    catchup=False,
    max_active_runs=1,
    tags=["airlock", news.NAME],
) as dag:
    dag.doc_md = __doc__

    candidate = claim(use_case=news.NAME, gate="model", queue="news/deployment")["manifest"]
    compressed = compress(manifest=candidate, methods=news.COMPRESSION, rule=news.COMPRESSION_RULE, slices=news.SLICES)
    packaged = package(
        use_case=news.NAME,
        manifest=candidate,
        model=compressed["model"],
        comparison=compressed["comparison"],
        original=compressed["original"],
        licence=news.LICENCE,
        licences=news.LICENCES,
        limits=news.LIMITS,
    )
    release = packaged["manifest"]
    tested = contract_test(package=packaged["package"], manifest=release)

    approved = gate(
        use_case=news.NAME,
        gate="release",
        manifest=release,
        policy=news.GATES["release"],
    )
    tested >> approved
    served: dict[str, Any] = {"use_case": news.NAME, "manifest": approved["manifest"], "gate": "release"}
    staged = deploy(task_id="stage", target="staging", **served)
    tried = smoke_test(endpoint=staged["endpoint"], manifest=release)
    compared = canary(rollout=news.ROLLOUT, **served)
    tried >> compared
    deploy(after=compared["generation"], **served)
