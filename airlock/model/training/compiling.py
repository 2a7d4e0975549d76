"""Makes a network ready to be trained: backend, seed, precision, optimizer, first weights."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from airlock.errors import UserError
from airlock.model.backend import load_keras, seed_everything
from airlock.model.training.schedule import Schedule
from airlock.model.training.sharing import Group


def prepare(schedule: Schedule, seed: int) -> None:
    """Set what holds for every layer that is made from now on."""
    keras = load_keras(schedule.backend)
    seed_everything(seed, deterministic=not schedule.xla)  # Keras compiles nothing with XLA while that is asked for
    keras.config.set_dtype_policy(schedule.precision)


def compiled(
    model: Any, schedule: Schedule, rates: Mapping[str, float], parent: Any = None, group: Group | None = None
) -> Any:
    """Compile a model for classification.

    :param rates: by pattern of layer names, the factor by which their learning rate differs.
    :param parent: a model to take the first weights from.
    :param group: the workers that train it together, if there are several.
    :raises UserError: a pattern matches no layer, or the parent has no layer in common.
    """
    if parent is not None:
        inherit(model, parent)
    model.compile(
        optimizer=_optimizer(schedule, _factors(model, rates), group),
        loss="sparse_categorical_crossentropy",
        **{"weighted_metrics" if group else "metrics": ["accuracy"]},
        jit_compile=schedule.compile,
    )
    return model


def inherit(model: Any, parent: Any) -> list[str]:
    """Set the weights of every layer that the parent has too, by name and shapes; return these layers' names.

    :raises UserError: there is none.
    """
    theirs = {layer.name: layer.get_weights() for layer in parent.layers}
    taken = []
    for layer in model.layers:
        mine, given = layer.get_weights(), theirs.get(layer.name, [])
        if mine and [value.shape for value in mine] == [value.shape for value in given]:
            layer.set_weights(given)
            taken.append(layer.name)
    if not taken:
        raise UserError(
            "The model to begin with has no layer in common with this network.",
            hint="Warm start from a version of the same architecture: layers are matched by name and shape.",
        )
    return taken


def _factors(model: Any, rates: Mapping[str, float]) -> dict[str, float]:
    """Return by a variable's path the factor of its learning rate."""
    factors: dict[str, float] = {}
    for pattern, factor in rates.items():
        layers = [layer for layer in model.layers if fnmatchcase(layer.name, pattern)]
        if not layers:
            raise UserError(
                f"No layer is called like {pattern!r}.",
                hint=f"Layers: {', '.join(layer.name for layer in model.layers)}.",
            )
        factors |= {variable.path: factor for layer in layers for variable in layer.trainable_variables}
    return factors


def _optimizer(schedule: Schedule, factors: Mapping[str, float], group: Group | None) -> Any:
    keras = load_keras()
    kind = type(keras.optimizers.get(schedule.optimizer))
    chosen = _grouped(kind, factors) if factors else kind
    scaler = keras.optimizers.LossScaleOptimizer
    mixed = schedule.precision == "mixed_float16"
    if group:  # around the scaler: all workers must find the same gradients too large
        chosen, scaler = (chosen, group.optimizer(scaler)) if mixed else (group.optimizer(chosen), scaler)
    made = chosen(learning_rate=schedule.learning_rate, weight_decay=schedule.weight_decay or None)
    # As ``compile`` does for an optimizer it is given by name: small gradients would be zero in 16 bits.
    return scaler(made) if mixed else made


def _grouped(kind: type[Any], factors: Mapping[str, float]) -> type[Any]:
    """Return an optimizer that moves some variables faster or slower than the others."""

    class Grouped(kind):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * factors.get(variable.path, 1.0))

        # The torch backend would update all variables at once, at one rate.
        def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
            for gradient, variable in zip(grads, trainable_variables, strict=True):
                self.update_step(gradient, variable, learning_rate)

    return Grouped
