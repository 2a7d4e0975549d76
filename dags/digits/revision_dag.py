"""Digits, revision: refactored source takes the place of an approved candidate's, once it is equal and reviewed.

Start it by hand: name the candidate's manifest, and what of the source is new, for example transform_revised.py. Files
lie in this folder or below it.
"""

from typing import Any

from airflow.sdk import DAG, Param

from airlock.dags.digits import use_case as digits
from airlock.operators.gate import gate
from airlock.operators.model import evaluate, register, revise
from airlock.operators.promotion import claim, promote

with DAG(
    "digits_revision",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "manifest": Param("", type="string", title="Candidate", description="Digest; empty: next of digits/revision"),
        "transform_code": Param("transform.py", type="string", title="Transform", description="Empty: the candidate's"),
        "network_code": Param("network.yaml", type="string", title="Network", description="Empty: the candidate's"),
    },
    tags=["airlock", digits.NAME],
) as dag:
    dag.doc_md = __doc__

    candidate = claim(use_case=digits.NAME, gate="model", queue="digits/revision")["manifest"]
    revised = revise(
        manifest=candidate,
        folder=str(digits.FOLDER),
        transform_code="{{ params.transform_code }}",
        network_code="{{ params.network_code }}",
        experiment=digits.NAME,
    )
    subject: dict[str, Any] = {name: revised[name] for name in ("model", "tensors", "run")}
    evaluated = evaluate(
        use_case=digits.NAME, classes=revised["classes"], slices=digits.SLICES, against=candidate, **subject
    )
    registered = register(
        use_case=digits.NAME,
        data=revised["data"],
        evaluation=evaluated["evaluation"],
        picture=evaluated["picture"],
        report=evaluated["report"],
        transform_code=revised["transform_code"],
        network_code=revised["network_code"],
        repository=digits.TRANSFORM,
        parameters=revised["parameters"],
        seed=revised["seed"],
        card=digits.CARD,
        revises=candidate,
        revision=revised["revision"],
        revision_report=revised["report"],
        **subject,
    )

    approved = gate(
        use_case=digits.NAME, gate="revision", manifest=registered["manifest"], policy=digits.GATES["revision"]
    )
    promote(
        use_case=digits.NAME,
        gate="model",  # of the candidate; a revision needs the revision gate's approval as well
        manifest=approved["manifest"],
        queue="digits/deployment",
        outlets=[digits.APPROVED_MODEL],
    )
