"""Fashion, data pipeline: from IDX files to a labelled dataset version that a data scientist has accepted."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.fashion import use_case as fashion
from airlock.operators import labeling
from airlock.operators.data import clean, data_manifest, ingest, split, validate, version
from airlock.operators.gate import gate
from airlock.operators.promotion import promote

with DAG("fashion_data", schedule=None, catchup=False, max_active_runs=1, tags=["airlock", fashion.NAME]) as dag:
    dag.doc_md = __doc__

    # Collect, clean, check: is it enough, and good enough?
    ingested = ingest(source=fashion.SOURCE)
    cleaned = clean(samples=ingested["samples"], classes=fashion.CLASSES, cleaners=fashion.CLEANERS)
    versioned = version(samples=cleaned["samples"], dataset=fashion.NAME, process={"cleaning": cleaned["cleaning"]})
    data, known = versioned["dataset"], versioned["labels"]
    divided = split(dataset=data, labels=known, fractions=fashion.SPLIT)
    validated = validate(
        dataset=data,
        labels=known,
        expectations=fashion.EXPECTATIONS,
        checks=fashion.CHECKS,
        split=divided["split"],
        cleaning={"all": cleaned["cleaning"]},
    )
    facts: dict[str, Any] = {
        "use_case": fashion.NAME,
        "classes": fashion.CLASSES,
        "dataset": data,
        "report": validated["report"],
        "dropped": cleaned["dropped"],
    }
    collected = data_manifest(labels=known, split=divided["split"], counts=divided["counts"], **facts)
    sufficient = gate(use_case=fashion.NAME, gate="data", manifest=collected["manifest"], policy=fashion.GATES["data"])

    # People are asked about what is released to them, and about nothing else.
    chosen = labeling.choose_batch(use_case=fashion.NAME, dataset=data, labels=known, **fashion.BATCH)
    sufficient >> chosen
    question = labeling.labelling_manifest(
        use_case=fashion.NAME,
        classes=fashion.CLASSES,
        dataset=data,
        batch=chosen["batch"],
        strategy=chosen["strategy"],
        **fashion.QUESTION,
    )["manifest"]
    released = gate(use_case=fashion.NAME, gate="labelling", manifest=question, policy=fashion.GATES["labelling"])
    asked = labeling.hand_off(use_case=fashion.NAME, manifest=released["manifest"])
    answered = labeling.wait_for_labels(handoff=asked["handoff"], poll=fashion.POLL)
    pulled = labeling.pull_labels(handoff=answered["handoff"], rule=fashion.RULE)

    # What they do not agree about, one person settles.
    disputed = labeling.adjudicate(handoff=asked["handoff"], disputed=pulled["disputed"])
    settled = labeling.wait_for_labels(task_id="wait_for_adjudication", handoff=disputed["handoff"], poll=fashion.POLL)
    resolved = labeling.pull_labels(task_id="pull_settled", handoff=settled["handoff"], rule=fashion.RULE)

    redivided = split(task_id="split_labelled", dataset=data, labels=resolved["labels"], fractions=fashion.SPLIT)
    labelled = data_manifest(
        task_id="labelled_manifest",
        labels=resolved["labels"],
        split=redivided["split"],
        counts=redivided["counts"],
        labelling=resolved["figures"],
        label_report=resolved["report"],
        **facts,
    )
    accepted = gate(use_case=fashion.NAME, gate="labels", manifest=labelled["manifest"], policy=fashion.GATES["labels"])
    promote(
        use_case=fashion.NAME,
        gate="labels",
        manifest=accepted["manifest"],
        queue="fashion/model",
        outlets=[fashion.APPROVED_DATA],
    )
