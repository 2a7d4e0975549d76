"""Fashion, model pipeline: from an approved dataset version to a candidate that a validator has approved."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.fashion import use_case as fashion
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, search, train, transform
from airlock.operators.promotion import claim, promote
from airlock.operators.retraining import challenge, retraining

with DAG(
    "fashion_model",
    schedule=retraining(fashion.RETRAIN, on=[fashion.APPROVED_DATA]),
    catchup=False,
    max_active_runs=1,
    tags=["airlock", fashion.NAME],
) as dag:
    dag.doc_md = __doc__

    data = claim(use_case=fashion.NAME, gate="labels", queue="fashion/model")["manifest"]
    tensors = transform(manifest=data, code=fashion.TRANSFORM)["tensors"]
    given: dict[str, Any] = {"tensors": tensors, "classes": fashion.CLASSES, "seed": fashion.SEED}
    found = search(
        code=fashion.NETWORK, parameters=fashion.PARAMETERS, space=fashion.SEARCH, experiment=fashion.NAME, **given
    )
    trained = train(code=fashion.NETWORK, parameters=found["parameters"], experiment=fashion.NAME, **given)
    model, run = trained["model"], trained["run"]
    evaluated = evaluate(
        use_case=fashion.NAME, model=model, tensors=tensors, classes=fashion.CLASSES, run=run, slices=fashion.SLICES
    )
    candidate = register(
        use_case=fashion.NAME,
        data=data,
        tensors=tensors,
        model=model,
        run=run,
        evaluation=evaluated["evaluation"],
        picture=evaluated["picture"],
        report=evaluated["report"],
        search=found["trials"],
        search_report=found["report"],
        transform_code=fashion.TRANSFORM,
        network_code=fashion.NETWORK,
        parameters=trained["parameters"],
        seed=fashion.SEED,
        card=fashion.CARD,
    )

    worthy = challenge(use_case=fashion.NAME, manifest=candidate["manifest"])
    understood = gate(
        use_case=fashion.NAME, gate="experiment", manifest=worthy["manifest"], policy=fashion.GATES["experiment"]
    )
    approved = gate(use_case=fashion.NAME, gate="model", manifest=understood["manifest"], policy=fashion.GATES["model"])
    promote(
        use_case=fashion.NAME,
        gate="model",
        manifest=approved["manifest"],
        queue="fashion/deployment",
        outlets=[fashion.APPROVED_MODEL],
    )
