"""Digits, model pipeline: from an approved dataset version to a candidate that a validator has approved."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.digits import use_case as digits
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, search, train, transform
from airlock.operators.promotion import claim, promote
from airlock.operators.retraining import challenge, retraining

with DAG(
    "digits_model",
    schedule=retraining(digits.RETRAIN, on=[digits.APPROVED_DATA]),
    catchup=False,
    max_active_runs=1,
    tags=["airlock", digits.NAME],
) as dag:
    dag.doc_md = __doc__

    data = claim(use_case=digits.NAME, gate="data", queue="digits/model")["manifest"]
    tensors = transform(manifest=data, code=digits.TRANSFORM)["tensors"]
    given: dict[str, Any] = {"tensors": tensors, "classes": digits.CLASSES, "seed": digits.SEED}
    found = search(
        code=digits.NETWORK, parameters=digits.PARAMETERS, space=digits.SEARCH, experiment=digits.NAME, **given
    )
    trained = train(code=digits.NETWORK, parameters=found["parameters"], experiment=digits.NAME, **given)
    model, run = trained["model"], trained["run"]
    evaluated = evaluate(
        use_case=digits.NAME, model=model, tensors=tensors, classes=digits.CLASSES, run=run, slices=digits.SLICES
    )
    candidate = register(
        use_case=digits.NAME,
        data=data,
        tensors=tensors,
        model=model,
        run=run,
        evaluation=evaluated["evaluation"],
        picture=evaluated["picture"],
        report=evaluated["report"],
        search=found["trials"],
        search_report=found["report"],
        transform_code=digits.TRANSFORM,
        network_code=digits.NETWORK,
        parameters=trained["parameters"],
        seed=digits.SEED,
        card=digits.CARD,
    )

    worthy = challenge(use_case=digits.NAME, manifest=candidate["manifest"])
    understood = gate(
        use_case=digits.NAME, gate="experiment", manifest=worthy["manifest"], policy=digits.GATES["experiment"]
    )
    approved = gate(use_case=digits.NAME, gate="model", manifest=understood["manifest"], policy=digits.GATES["model"])
    promote(
        use_case=digits.NAME,
        gate="model",
        manifest=approved["manifest"],
        queue="digits/deployment",
        outlets=[digits.APPROVED_MODEL],
    )
