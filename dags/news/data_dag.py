"""News, data pipeline: from an archive of articles to a labelled dataset version that a data scientist has accepted."""

from typing import Any

from airflow.sdk import DAG

from airlock.dags.news import use_case as news
from airlock.operators import labeling
from airlock.operators.data import clean, data_manifest, ingest, split, validate, version
from airlock.operators.gate import gate
from airlock.operators.promotion import promote

with DAG("news_data", schedule=None, catchup=False, max_active_runs=1, tags=["airlock", news.NAME]) as dag:
    dag.doc_md = __doc__

    # Collect, clean, check: is it enough, and good enough?
    ingested = ingest(source=news.SOURCE)
    cleaned = clean(samples=ingested["samples"], classes=news.CLASSES, cleaners=news.CLEANERS)
    versioned = version(samples=cleaned["samples"], dataset=news.NAME, process={"cleaning": cleaned["cleaning"]})
    data, known = versioned["dataset"], versioned["labels"]
    divided = split(dataset=data, labels=known, fractions=news.SPLIT)
    validated = validate(
        dataset=data,
        labels=known,
        expectations=news.EXPECTATIONS,
        checks=news.CHECKS,
        split=divided["split"],
        cleaning={"all": cleaned["cleaning"]},
    )
    facts: dict[str, Any] = {
        "use_case": news.NAME,
        "classes": news.CLASSES,
        "dataset": data,
        "report": validated["report"],
        "dropped": cleaned["dropped"],
    }
    collected = data_manifest(labels=known, split=divided["split"], counts=divided["counts"], **facts)
    sufficient = gate(use_case=news.NAME, gate="data", manifest=collected["manifest"], policy=news.GATES["data"])

    # People are asked about what is released to them, and about nothing else.
    chosen = labeling.choose_batch(use_case=news.NAME, dataset=data, labels=known, **news.BATCH)
    sufficient >> chosen
    question = labeling.labelling_manifest(
        use_case=news.NAME,
        classes=news.CLASSES,
        dataset=data,
        batch=chosen["batch"],
        strategy=chosen["strategy"],
        **news.QUESTION,
    )["manifest"]
    released = gate(use_case=news.NAME, gate="labelling", manifest=question, policy=news.GATES["labelling"])
    asked = labeling.hand_off(use_case=news.NAME, manifest=released["manifest"])
    answered = labeling.wait_for_labels(handoff=asked["handoff"], poll=news.POLL)
    pulled = labeling.pull_labels(handoff=answered["handoff"], rule=news.RULE)

    # What they do not agree about, one person settles.
    disputed = labeling.adjudicate(handoff=asked["handoff"], disputed=pulled["disputed"])
    settled = labeling.wait_for_labels(task_id="wait_for_adjudication", handoff=disputed["handoff"], poll=news.POLL)
    resolved = labeling.pull_labels(task_id="pull_settled", handoff=settled["handoff"], rule=news.RULE)

    redivided = split(task_id="split_labelled", dataset=data, labels=resolved["labels"], fractions=news.SPLIT)
    labelled = data_manifest(
        task_id="labelled_manifest",
        labels=resolved["labels"],
        split=redivided["split"],
        counts=redivided["counts"],
        labelling=resolved["figures"],
        label_report=resolved["report"],
        **facts,
    )
    accepted = gate(use_case=news.NAME, gate="labels", manifest=labelled["manifest"], policy=news.GATES["labels"])
    promote(
        use_case=news.NAME,
        gate="labels",
        manifest=accepted["manifest"],
        queue="news/model",
        outlets=[news.APPROVED_DATA],
    )
