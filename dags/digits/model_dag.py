"""Digits, model pipeline: from an approved dataset version to a candidate that a validator has approved."""

from airflow.sdk import DAG

from airlock.dags.digits import use_case as digits
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, train, transform
from airlock.operators.promotion import claim, promote

with DAG(
    "digits_model", schedule=[digits.APPROVED_DATA], catchup=False, max_active_runs=1, tags=["airlock", digits.NAME]
) as dag:
    dag.doc_md = __doc__

    data = claim(use_case=digits.NAME, gate="data", queue="digits/model")["manifest"]
    tensors = transform(manifest=data, code=digits.TRANSFORM)["tensors"]
    trained = train(
        tensors=tensors,
        code=digits.NETWORK,
        classes=digits.CLASSES,
        parameters=digits.PARAMETERS,
        seed=digits.SEED,
        experiment=digits.NAME,
    )
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
        transform_code=digits.TRANSFORM,
        network_code=digits.NETWORK,
        parameters=digits.PARAMETERS,
        seed=digits.SEED,
        card=digits.CARD,
    )

    approved = gate(
        use_case=digits.NAME,
        gate="model",
        manifest=candidate["manifest"],
        policy=digits.GATES["model"],
    )
    promote(
        use_case=digits.NAME,
        gate="model",
        manifest=approved["manifest"],
        queue="digits/deployment",
        outlets=[digits.APPROVED_MODEL],
    )
