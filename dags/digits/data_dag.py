"""Digits, data pipeline: from a source to a dataset version that a data engineer has approved."""

from airflow.sdk import DAG

from airlock.dags.digits import use_case as digits
from airlock.operators.data import clean, data_manifest, ingest, split, validate, version
from airlock.operators.gate import gate
from airlock.operators.promotion import promote

with DAG("digits_data", schedule=None, catchup=False, max_active_runs=1, tags=["airlock", digits.NAME]) as dag:
    dag.doc_md = __doc__

    ingested = ingest(source=digits.SOURCE)
    cleaned = clean(samples=ingested["samples"], classes=digits.CLASSES, cleaners=digits.CLEANERS)
    versioned = version(samples=cleaned["samples"], dataset=digits.NAME, process={"cleaning": cleaned["cleaning"]})
    data, labels = versioned["dataset"], versioned["labels"]

    divided = split(dataset=data, labels=labels, fractions=digits.SPLIT)
    validated = validate(
        dataset=data,
        labels=labels,
        expectations=digits.EXPECTATIONS,
        checks=digits.CHECKS,
        split=divided["split"],
        cleaning={"all": cleaned["cleaning"]},
    )
    manifest = data_manifest(
        use_case=digits.NAME,
        classes=digits.CLASSES,
        dataset=data,
        labels=labels,
        split=divided["split"],
        report=validated["report"],
        dropped=cleaned["dropped"],
        counts=divided["counts"],
    )

    approved = gate(
        use_case=digits.NAME,
        gate="data",
        manifest=manifest["manifest"],
        policy=digits.GATES["data"],
    )
    promote(
        use_case=digits.NAME,
        gate="data",
        manifest=approved["manifest"],
        queue="digits/model",
        outlets=[digits.APPROVED_DATA],
    )
