"""All that changes while a model trains, out of it and back into it, on any backend."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from airlock.model.backend import load_keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = list["NDArray[Any]"]


def pack_state(model: Any) -> bytes:
    """Return weights, random generators (dropout) and the optimizer's moments as ``.npz``."""
    convert = load_keras().ops.convert_to_numpy
    return pack([*_generators(), *(convert(variable.value) for variable in _variables(model))])


def restore_state(model: Any, state: bytes) -> bool:
    """Set what :func:`pack_state` returned of the same model; say whether it was of the same, or change nothing."""
    values, variables = unpack(state), _variables(model)
    apart = len(_generators())
    if [value.shape for value in values[apart:]] != [tuple(variable.shape) for variable in variables]:
        return False
    for variable, value in zip(variables, values[apart:], strict=True):
        variable.assign(value)
    _set_generators(values[:apart])
    return True


def _generators() -> Arrays:
    """Return the random generators that are no variables: Keras on torch drops out by torch's own."""
    if load_keras().backend.backend() != "torch":
        return []
    import torch

    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [state.numpy() for state in (torch.get_rng_state(), *devices)]


def _set_generators(states: Arrays) -> None:
    if not states:
        return
    import torch

    torch.set_rng_state(torch.from_numpy(states[0].copy()))
    if len(states) > 1:
        torch.cuda.set_rng_state_all([torch.from_numpy(state.copy()) for state in states[1:]])


def pack(arrays: Arrays) -> bytes:
    """Return arrays as ``.npz``."""
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> Arrays:
    """Return the arrays of :func:`pack`."""
    with np.load(io.BytesIO(data)) as arrays:
        return [arrays[f"arr_{place}"] for place in range(len(arrays.files))]


def _variables(model: Any) -> list[Any]:
    model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]
