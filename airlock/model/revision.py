"""Compares what two sources make: tensors value by value, and models by shape, weights and answers."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airlock.governance.revisions import ModelDifference, SplitDifference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from airlock.model.tensors import Split

BATCH = 1024
EXAMPLES = 3


class Asked(NamedTuple):
    """A model and what it is asked about.

    :param model: Keras model.
    :param x: ``[N, …]``, as its own transform makes the samples.
    """

    model: Any
    x: "NDArray[Any]"


def split_difference(name: str, now: "Split", before: "Split") -> SplitDifference:
    """Compare one split of two transforms.

    :param before: the candidate's.
    """
    same = np.array_equal(now.ids, before.ids) and np.array_equal(now.y, before.y)
    found = SplitDifference(
        split=name, samples=len(now.y), kind=_kind(now.x), before=_kind(before.x), same_samples=same
    )
    if not same or found.kind != found.before:
        return found
    largest = _by_sample(now.x, before.x)
    return SplitDifference(
        **{name: getattr(found, name) for name in ("split", "samples", "kind", "before", "same_samples")},
        differing=int((largest > 0).sum()),
        examples=[now.ids[place].decode() for place in np.flatnonzero(largest)[:EXAMPLES]],
        largest=_finite(largest.max()),
    )


def model_difference(now: Asked, before: Asked, truth: "NDArray[np.int64]") -> ModelDifference:
    """Compare two models; each answers to the same samples as its own transform makes them.

    :param truth: places of the samples' classes, ``[N]``.
    """
    weights = [[np.asarray(each) for each in asked.model.get_weights()] for asked in (now, before)]
    architecture = _architecture(now.model, before.model, weights)
    pairs = list(zip(*weights, strict=False)) if not architecture else []
    paired = bool(pairs) and all(left.shape == right.shape for left, right in pairs)
    answers, earlier = (np.asarray(asked.model.predict(np.asarray(asked.x), verbose=0)) for asked in (now, before))
    chosen, chosen_before = answers.argmax(axis=1), earlier.argmax(axis=1)
    return ModelDifference(
        parameters=int(now.model.count_params()),
        parameters_before=int(before.model.count_params()),
        architecture=architecture,
        weights=_finite(max(_largest(*pair) for pair in pairs)) if paired else None,
        samples=len(truth),
        largest=_finite(_largest(answers, earlier)) if answers.shape == earlier.shape else None,
        flips=int((chosen != chosen_before).sum()),
        accuracy=float((chosen == truth).mean()),
        accuracy_before=float((chosen_before == truth).mean()),
    )


def _architecture(now: Any, before: Any, weights: list[list["NDArray[Any]"]]) -> list[str]:
    """What is not the same. Layers may be named and put together otherwise: what is trained must be the same."""
    found = []
    for what in ("input_shape", "output_shape"):
        shape, earlier = getattr(now, what), getattr(before, what)
        if shape != earlier:
            found.append(f"{what.replace('_', ' ')}: {shape} instead of {earlier}")
    shapes, were = (sorted(f"{each.dtype} {list(each.shape)}" for each in group) for group in weights)
    if now.count_params() != before.count_params():
        found.append(f"parameters: {now.count_params():,} instead of {before.count_params():,}")
    elif shapes != were:
        more, less = ([each for each in left if each not in right] for left, right in ((shapes, were), (were, shapes)))
        found.append(f"weights: {', '.join(more) or 'nothing'} instead of {', '.join(less) or 'nothing'}")
    return found


def _kind(x: "NDArray[Any]") -> str:
    return f"{x.dtype} {list(x.shape[1:])}"


def _by_sample(now: "NDArray[Any]", before: "NDArray[Any]") -> "NDArray[np.float64]":
    """Largest difference in each sample, ``[N]``; what is equal by bits differs by 0, NaN from a number by infinity."""
    found = [
        _differences(now[begin : begin + BATCH], before[begin : begin + BATCH]) for begin in range(0, len(now), BATCH)
    ]
    return np.concatenate([each.reshape(len(each), -1).max(axis=1) for each in found])


def _largest(now: "NDArray[Any]", before: "NDArray[Any]") -> float:
    return float(_differences(now, before).max()) if now.size else 0.0


def _differences(now: "NDArray[Any]", before: "NDArray[Any]") -> "NDArray[np.float64]":
    left, right = (np.asarray(each, np.float64) for each in (now, before))
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        apart = np.abs(left - right)
    found: NDArray[np.float64] = np.where(equal, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return found


def _finite(value: float) -> float | None:
    """JSON knows no infinity."""
    return float(value) if np.isfinite(value) else None
