"""Fashion, data pipeline: from a source to a dataset version that a data engineer has approved."""

from airflow.sdk import DAG

from airlock.dags.fashion import use_case as fashion
from airlock.operators.data import clean, data_manifest, ingest, split, validate, version
from airlock.operators.gate import gate
from airlock.operators.promotion import promote

with DAG("fashion_data", schedule=None, catchup=False, max_active_runs=1, tags=["airlock", fashion.NAME]) as dag:
    dag.doc_md = __doc__

    ingested = ingest(source=fashion.SOURCE)
    cleaned = clean(samples=ingested["samples"], classes=fashion.CLASSES, cleaners=fashion.CLEANERS)
    versioned = version(samples=cleaned["samples"], dataset=fashion.NAME, process={"cleaning": cleaned["cleaning"]})
    data, labels = versioned["dataset"], versioned["labels"]

    divided = split(dataset=data, labels=labels, fractions=fashion.SPLIT)
    validated = validate(
        dataset=data,
        labels=labels,
        expectations=fashion.EXPECTATIONS,
        checks=fashion.CHECKS,
        split=divided["split"],
        cleaning={"all": cleaned["cleaning"]},
    )
    manifest = data_manifest(
        use_case=fashion.NAME,
        classes=fashion.CLASSES,
        dataset=data,
        labels=labels,
        split=divided["split"],
        report=validated["report"],
        dropped=cleaned["dropped"],
        counts=divided["counts"],
    )

    approved = gate(
        use_case=fashion.NAME,
        gate="data",
        manifest=manifest["manifest"],
        policy=fashion.GATES["data"],
    )
    promote(
        use_case=fashion.NAME,
        gate="data",
        manifest=approved["manifest"],
        queue="fashion/model",
        outlets=[fashion.APPROVED_DATA],
    )
