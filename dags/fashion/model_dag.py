"""Fashion, model pipeline: from an approved dataset version to a candidate that a validator has approved."""

from airflow.sdk import DAG

from airlock.dags.fashion import use_case as fashion
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, train, transform
from airlock.operators.promotion import claim, promote

with DAG(
    "fashion_model", schedule=[fashion.APPROVED_DATA], catchup=False, max_active_runs=1, tags=["airlock", fashion.NAME]
) as dag:
    dag.doc_md = __doc__

    data = claim(use_case=fashion.NAME, gate="labels", queue="fashion/model")["manifest"]
    tensors = transform(manifest=data, code=fashion.TRANSFORM)["tensors"]
    trained = train(
        tensors=tensors,
        code=fashion.NETWORK,
        classes=fashion.CLASSES,
        parameters=fashion.PARAMETERS,
        seed=fashion.SEED,
        experiment=fashion.NAME,
    )
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
        transform_code=fashion.TRANSFORM,
        network_code=fashion.NETWORK,
        parameters=fashion.PARAMETERS,
        seed=fashion.SEED,
        card=fashion.CARD,
    )

    approved = gate(
        use_case=fashion.NAME,
        gate="model",
        manifest=candidate["manifest"],
        policy=fashion.GATES["model"],
    )
    promote(
        use_case=fashion.NAME,
        gate="model",
        manifest=approved["manifest"],
        queue="fashion/deployment",
        outlets=[fashion.APPROVED_MODEL],
    )
