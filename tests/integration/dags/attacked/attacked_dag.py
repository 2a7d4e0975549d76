"""A use case to be attacked: digits under another name, from its data to a release that waits for its gate."""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, task

from airlock.dags.digits import use_case as digits
from airlock.operators.data import clean, data_manifest, ingest, split, validate, version
from airlock.operators.deployment import deploy, package
from airlock.operators.gate import gate, policies
from airlock.operators.model import compress, evaluate, register, train, transform
from airlock.operators.promotion import claim, promote

NAME = "attacked"
PARAMETERS = digits.PARAMETERS | {"epochs": 2}  # nobody judges how good it is
GATES = policies(Path(__file__).with_name("gates.json"))
APPROVED = Asset("attacked/approved-data")

with DAG(NAME, schedule=None, catchup=False) as dag:
    ingested = ingest(source=digits.SOURCE)
    cleaned = clean(samples=ingested["samples"], classes=digits.CLASSES, cleaners=digits.CLEANERS)
    versioned = version(samples=cleaned["samples"], dataset=NAME)
    data, labels = versioned["dataset"], versioned["labels"]
    validated = validate(dataset=data, labels=labels, expectations=digits.EXPECTATIONS)
    divided = split(dataset=data, labels=labels, fractions=digits.SPLIT)
    prepared = data_manifest(
        use_case=NAME,
        classes=digits.CLASSES,
        dataset=data,
        labels=labels,
        split=divided["split"],
        report=validated["report"],
        dropped=cleaned["dropped"],
        counts=divided["counts"],
    )
    passed = gate(use_case=NAME, gate="data", manifest=prepared["manifest"], policy=GATES["data"])
    promote(use_case=NAME, gate="data", manifest=passed["manifest"], queue="attacked/next", outlets=[APPROVED])

    tensors = transform(manifest=prepared["manifest"], code=digits.TRANSFORM)["tensors"]
    trained = train(
        tensors=tensors,
        code=digits.NETWORK,
        classes=digits.CLASSES,
        parameters=PARAMETERS,
        seed=digits.SEED,
        experiment=NAME,
    )
    model, run = trained["model"], trained["run"]
    evaluated = evaluate(model=model, tensors=tensors, classes=digits.CLASSES, run=run)
    candidate = register(
        use_case=NAME,
        data=prepared["manifest"],
        tensors=tensors,
        model=model,
        run=run,
        evaluation=evaluated["evaluation"],
        picture=evaluated["picture"],
        transform_code=digits.TRANSFORM,
        network_code=digits.NETWORK,
        parameters=PARAMETERS,
        seed=digits.SEED,
    )
    compressed = compress(manifest=candidate["manifest"], methods=digits.COMPRESSION)
    packaged = package(
        use_case=NAME,
        manifest=candidate["manifest"],
        model=compressed["model"],
        comparison=compressed["comparison"],
    )
    approved = gate(use_case=NAME, gate="release", manifest=packaged["manifest"], policy=GATES["release"])
    deploy(use_case=NAME, manifest=approved["manifest"], gate="release", retries=0)


with DAG("attacked_next", schedule=[APPROVED], catchup=False):
    claim(use_case=NAME, gate="data", queue="attacked/next", retries=0)


with DAG("attacked_gates", schedule=None, catchup=False):

    @task
    def asked(dag_run: Any = None) -> dict[str, Any]:
        """What the three small gates ask about."""
        manifest: dict[str, Any] = dag_run.conf["manifest"]
        return manifest

    about = asked()
    for name in ("four_eyes", "brief", "withdrawn"):
        gate(use_case=NAME, gate=name, manifest=about, policy=GATES[name])
