"""One ``fit`` after the other until a training is over: what happens at each epoch's end, and between two batches."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import InfrastructureError, UserError
from airlock.model.backend import load_keras
from airlock.model.training.checkpoints import Checkpoint, CheckpointStore
from airlock.model.training.feed import Feed
from airlock.model.training.schedule import Schedule
from airlock.model.training.sharing import Group
from airlock.model.training.state import pack, pack_state, restore_state

if TYPE_CHECKING:
    from airlock.model.training.loop import Training

Metrics = dict[str, float]


class Interrupted(InfrastructureError):
    """The training was asked to stop; where it stands is in its checkpoint."""


class Fitting:
    """A model on its way from a checkpoint to the end of its training.

    :param model: compiled, in the state of the checkpoint.
    :param last: where it stands.
    """

    def __init__(self, training: "Training", model: Any, last: Checkpoint) -> None:
        self.schedule: Schedule = training.schedule
        self.checkpoints: CheckpointStore = training.checkpoints
        self.report: Callable[[int, Metrics], None] = training.report
        self.stopping: Callable[[], bool] = training.stopping
        self.interval = training.interval
        self.group: Group | None = training.group
        self.writes = training.group is None or training.group.index == 0
        self.model = model
        self.last = last
        self._saved = time.monotonic()

    def run(self, feed: Feed, held_out: Feed) -> Checkpoint:
        """Train to the end; return what there is then.

        :raises UserError: the loss is not a number any more, or explodes.
        :raises Interrupted: somebody asked to stop.
        """
        if self.last.batch and not self._over:  # the rest of an epoch that was interrupted
            self._fit(feed, held_out, feed.batches - self.last.batch, self.last.epoch + 1)
        if not self._over:
            self._fit(feed, held_out, feed.batches, self.schedule.epochs)
        self.checkpoints.wait()
        return self.last

    @property
    def _over(self) -> bool:
        waited = self.last.epoch - self.last.best_epoch
        return self.last.epoch >= self.schedule.epochs or 0 < self.schedule.patience <= waited

    def _fit(self, feed: Feed, held_out: Feed, steps: int, until: int) -> None:
        before, backend = self.last, self.schedule.backend
        batches = feed.from_place(before.epoch + 1, before.batch, until, backend)
        with self.group.errors() if self.group else nullcontext():
            self.model.fit(
                batches,
                steps_per_epoch=steps if backend == "tensorflow" else None,  # one pipeline through all epochs
                initial_epoch=before.epoch,
                epochs=until,
                **held_out.validation(backend),
                shuffle=False,
                verbose=0,
                callbacks=[_callback(self, before, feed, batches)],
            )

    def begin(self) -> None:
        """Set the checkpoint's state once more: torch draws random numbers on the way to its first batch."""
        if self.last.state:
            restore_state(self.model, self.last.state)
            self.last = msgspec.structs.replace(self.last, state=b"")

    def between_batches(self, before: Checkpoint, batch: int, feed: Feed) -> None:
        """Save where it stands when it is time, and stop when asked to.

        :param batch: batches done in this call of ``fit``'s epoch.
        """
        stop = self.stopping()
        due = self.interval and time.monotonic() - self._saved > self.interval
        if not stop and not due:
            return
        first = before.batch if self.last.epoch == before.epoch else 0
        place = self.last
        if batch:
            partial = _mean(self.model.get_metrics_result(), batch, self._partial(before), first)
            self._require_finite(partial, self.last.epoch + 1)
            place = msgspec.structs.replace(self.last, batch=first + batch, partial=partial)
        if place.epoch or place.batch:
            self._save(place)
        if stop:
            self.checkpoints.wait()
            raise Interrupted(
                f"The training was stopped in epoch {self.last.epoch + 1}, after {first + batch} of {feed.batches} "
                "batches.",
                hint="Its next try goes on from there.",
            )

    def end_epoch(self, before: Checkpoint, logs: Metrics, steps: int) -> None:
        """Judge the epoch, report it, remember the best weights."""
        epoch = self.last.epoch + 1
        first = before.batch if epoch == before.epoch + 1 else 0
        metrics = _mean({name: float(value) for name, value in logs.items()}, steps, self._partial(before), first)
        if self.group:  # so that all of them judge alike
            metrics = dict(zip(metrics, self.group.mean_of(list(metrics.values())), strict=True))
        self._require_finite(metrics, epoch)
        self._require_no_explosion(metrics, epoch)
        self.report(epoch, metrics)
        better = all(metrics["val_loss"] < earlier["val_loss"] for earlier in self.last.history)
        self.last = Checkpoint(
            epoch=epoch,
            best_epoch=epoch if better else self.last.best_epoch,
            history=[*self.last.history, metrics],
            best=pack(self.model.get_weights()) if better else self.last.best,
        )
        self.model.stop_training = self._over
        if not self.interval or self._over or time.monotonic() - self._saved > self.interval:
            self._save(self.last)

    def _partial(self, before: Checkpoint) -> Metrics:
        return before.partial if self.last.epoch == before.epoch else {}

    def _save(self, checkpoint: Checkpoint) -> None:
        if self.writes:
            self.checkpoints.save(msgspec.structs.replace(checkpoint, state=pack_state(self.model)))
        self._saved = time.monotonic()

    def _require_finite(self, metrics: Metrics, epoch: int) -> None:
        if not all(math.isfinite(value) for value in metrics.values()):
            figures = ", ".join(f"{name} is {value:g}" for name, value in metrics.items())
            raise UserError(
                f"The training diverged in epoch {epoch}: {figures}.",
                hint=f"Lower learning_rate (now {self.schedule.learning_rate:g}), or check the network's activations.",
            )

    def _require_no_explosion(self, metrics: Metrics, epoch: int) -> None:
        first = (self.last.history or [metrics])[0]["loss"]
        if metrics["loss"] > self.schedule.explosion * first > 0:
            raise UserError(
                f"The loss exploded: {metrics['loss']:g} in epoch {epoch}, {first:g} in the first.",
                hint=f"Lower learning_rate (now {self.schedule.learning_rate:g}), or raise `explosion` "
                f"(now {self.schedule.explosion:g}) if that is as it should be.",
            )


def _mean(metrics: Metrics, steps: int, earlier: Metrics, earlier_steps: int) -> Metrics:
    """Return the means over an epoch that was interrupted: of the batches before and after.

    What only the end of an epoch knows (``val_…``) stays as it is. A shorter last batch counts as a whole one, as
    little as that may matter to a curve; weights do not depend on it.
    """
    whole = steps + earlier_steps
    return {
        name: (float(value) * steps + earlier[name] * earlier_steps) / whole if name in earlier else float(value)
        for name, value in metrics.items()
    }


def _callback(fitting: Fitting, before: Checkpoint, feed: Feed, batches: Any) -> Any:
    class Between(load_keras().callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            del logs
            batches.epoch = epoch + 1

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            del logs
            fitting.begin()
            fitting.between_batches(before, batch, feed)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            first = before.batch if epoch == before.epoch else 0
            fitting.end_epoch(before, logs, feed.batches - first)

    return Between()
