"""News, model pipeline: from an approved dataset version to a candidate that a validator has approved."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.news import use_case as news
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, search, train, transform
from airlock.operators.promotion import claim, promote
from airlock.operators.retraining import challenge, retraining

with DAG(
    "news_model",
    schedule=retraining(news.RETRAIN, on=[news.APPROVED_DATA]),
    catchup=False,
    max_active_runs=1,
    tags=["airlock", news.NAME],
) as dag:
    dag.doc_md = __doc__

    data = claim(use_case=news.NAME, gate="labels", queue="news/model")["manifest"]
    tensors = transform(manifest=data, code=news.TRANSFORM)["tensors"]
    given: dict[str, Any] = {"tensors": tensors, "classes": news.CLASSES, "seed": news.SEED}
    found = search(code=news.NETWORK, parameters=news.PARAMETERS, space=news.SEARCH, experiment=news.NAME, **given)
    trained = train(code=news.NETWORK, parameters=found["parameters"], experiment=news.NAME, **given)
    model, run = trained["model"], trained["run"]
    evaluated = evaluate(
        use_case=news.NAME, model=model, tensors=tensors, classes=news.CLASSES, run=run, slices=news.SLICES
    )
    candidate = register(
        use_case=news.NAME,
        data=data,
        tensors=tensors,
        model=model,
        run=run,
        evaluation=evaluated["evaluation"],
        picture=evaluated["picture"],
        report=evaluated["report"],
        search=found["trials"],
        search_report=found["report"],
        transform_code=news.TRANSFORM,
        network_code=news.NETWORK,
        parameters=trained["parameters"],
        seed=news.SEED,
        card=news.CARD,
    )

    worthy = challenge(use_case=news.NAME, manifest=candidate["manifest"])
    understood = gate(
        use_case=news.NAME, gate="experiment", manifest=worthy["manifest"], policy=news.GATES["experiment"]
    )
    approved = gate(use_case=news.NAME, gate="model", manifest=understood["manifest"], policy=news.GATES["model"])
    promote(
        use_case=news.NAME,
        gate="model",
        manifest=approved["manifest"],
        queue="news/deployment",
        outlets=[news.APPROVED_MODEL],
    )
