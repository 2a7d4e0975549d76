"""Trains the use case's network. A try that follows a killed one goes on where its last checkpoint stands."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.references import Artifact, TrackingRun
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.model.curves import Curves
    from airlock.model.network import Network
    from airlock.model.tensors import Split
    from airlock.model.tracking import TrackedRun
    from airlock.model.training import Group, Schedule, Trained, Training

ENVIRONMENT = ("keras", "mlflow", "numpy", "tensorflow", "torch")
KERAS = "application/vnd.keras"
DECIDES_NOTHING = ("experiment", "checkpoint_seconds", "warm_start")


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param tensors: what the transform step wrote.
    :param code: the use case's ``network.py``, or a resolved architecture.
    :param classes: class names, in the order of the model's outputs.
    :param parameters: see :class:`airlock.model.training.Schedule`; the network may have more.
    :param experiment: MLflow experiment.
    :param warm_start: the registry version whose weights are the first ones, as ``name@alias`` or ``name/version``;
        ``parent`` is its model.
    :param checkpoint_seconds: from one checkpoint to the next; 0 for one after every epoch.
    """

    tensors: Artifact
    code: Artifact
    classes: list[str]
    parameters: dict[str, Any] = {}
    seed: int = 0
    experiment: str
    warm_start: str = ""
    parent: Artifact | None = None
    checkpoint_seconds: float = 10.0


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param model: the epoch with the lowest validation loss, as ``.keras``, not compiled.
    :param epochs: epochs trained.
    :param parameters: what it was trained with.
    """

    model: Artifact
    run: TrackingRun
    epochs: int
    parameters: dict[str, Any]


def run(inputs: Inputs, context: StepContext) -> Outputs | None:
    """Train, log to MLflow, store the model; a worker that is not the first one only trains."""
    from airlock.model.tensors import load_split, require_classes
    from airlock.model.training import Schedule
    from airlock.steps.interruption import noticed

    schedule = Schedule.of(inputs.parameters)
    group = _group(schedule, context)
    folder = context.fetch(inputs.tensors, "tensors")
    train, validation = load_split(folder, "train"), load_split(folder, "validation")
    require_classes(train, inputs.classes, "train")
    with noticed() as stopping:
        training = _training(inputs, context, schedule, _network(inputs, context, train), stopping, group)
        if context.worker.index > 0:
            training.run(train, validation)
            return None
        return _tracked(inputs, context, training, train, validation)


def _group(schedule: "Schedule", context: StepContext) -> "Group | None":
    """Meet the other workers, before the backend computes anything."""
    from airlock.model.backend import load_keras
    from airlock.model.training import join
    from airlock.steps.rendezvous import rendezvous

    met = rendezvous(context)
    group = None
    if met:
        schedule.require_shareable(len(met.addresses))
        group = join(met.index, met.addresses, schedule.backend)
    load_keras(schedule.backend)
    return group


def _tracked(
    inputs: Inputs, context: StepContext, training: "Training", train: "Split", validation: "Split"
) -> Outputs:
    """Train as one run in MLflow."""
    from airlock.model.curves import Curves
    from airlock.model.tracking import Tracking

    tracked = Tracking(context.settings.tracking).start(
        inputs.experiment, f"{context.run.dag}.{context.run.task}", _chain(inputs, context), _tags(inputs, context)
    )
    context.link("MLflow run", tracked.url)
    with tracked.ending(), Curves(tracked) as curves:
        tracked.parameters(inputs.parameters | {"seed": inputs.seed})
        training.report = partial(_report, training.schedule, context, curves)
        trained = training.run(train, validation)
        curves.close(trained.history)
        model = _store(trained, context, tracked, validation)
    training.checkpoints.clear()
    best = trained.history[trained.best_epoch - 1]
    context.metric("validation_accuracy", best["val_accuracy"])
    context.metric("validation_loss", best["val_loss"])
    return Outputs(model=model, run=tracked.reference, epochs=trained.epochs, parameters=inputs.parameters)


def _report(
    schedule: "Schedule", context: StepContext, curves: "Curves", epoch: int, metrics: dict[str, float]
) -> None:
    curves.add(epoch, metrics)
    context.progress(epoch, schedule.epochs, "epoch", **metrics)


def _network(inputs: Inputs, context: StepContext, train: "Split") -> "Network":
    from airlock.model.network import Network

    path = context.fetch(inputs.code, "network.py")
    return Network(path, train.x.shape[1:], len(inputs.classes), inputs.parameters, str(train.x.dtype))


def _training(
    inputs: Inputs,
    context: StepContext,
    schedule: "Schedule",
    network: "Network",
    stopping: Callable[[], bool],
    group: "Group | None",
) -> "Training":
    from airlock.model.storage import load_model
    from airlock.model.training import CheckpointStore, Training

    return Training(
        network=network,
        schedule=schedule,
        seed=inputs.seed,
        checkpoints=CheckpointStore(context.artifacts, _key(inputs)),
        report=lambda *_: None,
        interval=inputs.checkpoint_seconds,
        stopping=stopping,
        parent=load_model(context.fetch(inputs.parent, "parent.keras")) if inputs.parent else None,
        group=group,
    )


def _store(trained: "Trained", context: StepContext, tracked: "TrackedRun", example: Any) -> Artifact:
    from airlock.model.logged_model import log_model
    from airlock.model.names import MODEL
    from airlock.model.storage import save_model

    model = context.artifacts.put_file(save_model(trained.model, context.workdir / "model.keras"), KERAS)
    lines: list[str] = []
    trained.model.summary(print_fn=lambda line, **_: lines.append(line))
    tracked.text("\n".join(lines), "model_summary.txt")
    tracked.metrics({"best_epoch": trained.best_epoch})
    log_model(tracked, trained.model, example, {MODEL: model.digest})
    return model


def _key(inputs: Inputs) -> str:
    """Name the training by everything that decides what it does."""
    from airlock.steps.cache import Key, environment
    from airlock.steps.source import source_digest

    values = {name: value for name, value in msgspec.to_builtins(inputs).items() if name not in DECIDES_NOTHING}
    return Key(step="train", source=source_digest("train"), inputs=values, environment=environment("train")).digest


def _chain(inputs: Inputs, context: StepContext) -> str:
    return f"{context.run.owner}/{_key(inputs)[:12]}"


def _tags(inputs: Inputs, context: StepContext) -> dict[str, str]:
    from airlock.model import names
    from airlock.steps.cache import environment, installed

    parent = {names.PARENT: f"{inputs.warm_start} {inputs.parent.digest}"} if inputs.parent else {}
    return parent | {
        names.ENVIRONMENT: msgspec.json.encode(environment("train")).decode(),
        names.NETWORK: inputs.code.digest,
        names.LOCK: context.artifacts.put(installed().encode(), "text/plain").digest,
        names.SEED: str(inputs.seed),
        names.TENSORS: inputs.tensors.digest,
        names.TASK: context.run.owner,
    }
