"""Ends a search: what is left over is ended as failed, the best trial's parameters and the report come out."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext
from airlock.steps.search_trials import Inputs, study_name

if TYPE_CHECKING:
    from airlock.governance.searches import SearchSummary
    from airlock.model.search.tracked import TrackedSearch
    from airlock.model.search.trials import Trials

__all__ = ["ENVIRONMENT", "Inputs", "Outputs", "run"]
ENVIRONMENT = ("keras", "matplotlib", "mlflow", "numpy", "optuna", "tensorflow")


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param parameters: the base parameters with the best trial's over them.
    :param value: the best trial's, of the search's metric.
    :param code: the network the best trial trained; ``tensors`` what it was trained on.
    :param trials: JSON of :class:`airlock.governance.searches.SearchSummary`.
    :param report: the same as a page with pictures.
    :param run: the MLflow run that the trials' runs belong to.
    """

    parameters: dict[str, Any]
    value: float
    code: Artifact
    tensors: Artifact
    trials: Artifact
    report: Artifact
    run: TrackingRun
    study: str


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Conclude; the report is there also when no trial is complete.

    :raises UserError: no trial is complete, or none was begun.
    """
    from airlock.model.search.bench import picked
    from airlock.model.search.conclusion import require_a_best
    from airlock.model.search.space import DATA, NETWORK
    from airlock.model.search.spec import read_search
    from airlock.model.search.study import Studies
    from airlock.model.search.trials import Trials

    search = read_search(inputs.space, inputs.parameters, inputs.tensors)
    studies = Studies(context.database)
    study = studies.open(study_name(inputs, context))
    runs, summary = _settled(inputs, context, Trials(studies, study, search, "conclusion"))
    context.link("MLflow run", runs.parent.url)
    trials, report = _show(summary, context, runs)
    runs.end(runs.parent.reference.run_id, "FINISHED" if summary.best is not None else "FAILED")
    require_a_best(summary)
    best = next(trial for trial in summary.trials if trial.number == summary.best)
    return Outputs(
        parameters=summary.parameters,
        value=summary.value or 0.0,
        code=inputs.code[picked(best.parameters, NETWORK, inputs.code)],
        tensors=inputs.tensors[picked(best.parameters, DATA, inputs.tensors)],
        trials=trials,
        report=report,
        run=runs.parent.reference,
        study=summary.study,
    )


def _settled(inputs: Inputs, context: StepContext, trials: "Trials") -> "tuple[TrackedSearch, SearchSummary]":
    """End what is left over, in the study and in MLflow; a conclusion tried again does the same again."""
    from airlock.model.search.bench import checkpoints_of
    from airlock.model.search.conclusion import summarize
    from airlock.model.search.tracked import FAILED, TrackedSearch
    from airlock.model.tracking import Tracking

    tags = {"airlock.search": trials.study.study_name}
    runs = TrackedSearch(Tracking(context.settings.tracking), trials, inputs.experiment, tags)
    trials.settle()
    with trials.studies.errors():
        summary = summarize(trials.study, trials.search, inputs.parameters, runs.parent.reference.run_id)
    for trial in summary.trials:
        if trial.state == "failed":
            checkpoints_of(context.artifacts, summary.study, trial.number).clear()
            if trial.run_id:
                runs.end(trial.run_id, "FAILED", {FAILED: trial.reason})
    return runs, summary


def _show(summary: "SearchSummary", context: StepContext, runs: "TrackedSearch") -> tuple[Artifact, Artifact]:
    """Store the trials and the page, log both and the pictures."""
    from airlock.model.search.pictures import draw
    from airlock.model.search.report import render

    pictures = draw(summary)
    page = render(summary, pictures, {trial.number: runs.url(trial.run_id) for trial in summary.trials if trial.run_id})
    document = msgspec.json.format(msgspec.json.encode(summary), indent=2)
    files = {"trials.json": document, "search.html": page} | {f"{name}.png": png for name, png in pictures.items()}
    for name, data in files.items():
        path = context.workdir / name
        path.write_bytes(data)
        runs.parent.file(path)
    report = context.artifacts.put(page, "text/html")
    context.link("Report", report.digest)
    for name, count in summary.counts.items():
        context.metric(f"{name}_trials", count)
    context.metric("preemptions", summary.preemptions)
    if summary.value is not None:
        context.metric(f"best_{summary.metric}", summary.value)
    return context.artifacts.put(document, "application/json"), report
