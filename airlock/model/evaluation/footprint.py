"""What a model costs: parameters, operations, memory and time, each counted or measured here and now."""

import os
import platform
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airlock.governance.evaluations import Footprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCHES = (1, 64)
WARM_UP = 3
MOST_CALLS = 100
MOST_SECONDS = 4.0
CLEAR_PEAK = "5"  # proc(5): writing it to clear_refs resets the peak of resident memory


def footprint(model: Any, x: "NDArray[Any]", size: int) -> Footprint:
    """Count and measure.

    :param x: samples ``[N, …]``, at least one; they are repeated where a batch needs more.
    :param size: bytes of the model's file.
    """
    from airlock.model.backend import load_keras

    backend = load_keras().backend.backend()
    flops, counted_by = COUNTERS.get(backend, _uncounted)(model, np.asarray(x[:1]))
    batches = {count: np.resize(np.asarray(x[:count]), (count, *x.shape[1:])) for count in BATCHES}
    _forget_peak()
    times = {}
    for count, batch in batches.items():
        taken = _times(partial(model.predict_on_batch, batch))
        for name, share in (("p50", 50), ("p99", 99)):
            times[f"{name}_{count}"] = round(1000 * float(np.percentile(taken, share)) / count, 4)
    return Footprint(
        parameters=int(model.count_params()),
        trainable=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        bytes=size,
        weight_bytes=sum(_bytes(weight) for weight in model.weights),
        flops=flops,
        counted_by=counted_by,
        peak_bytes=peak_memory(),
        times_ms=times,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, Keras on {backend}",
    )


def flops_tensorflow(model: Any, sample: "NDArray[Any]") -> tuple[int | None, str]:
    """Count with TensorFlow's profiler, which looks at every operation of the model's graph for one sample."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec(sample.shape, sample.dtype)
    )
    graph = convert_variables_to_constants_v2(traced).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options)
    return int(counted.total_float_ops), "TensorFlow's profiler"


def flops_torch(model: Any, sample: "NDArray[Any]") -> tuple[int | None, str]:
    """Count with PyTorch's counter, which knows matrix products, convolutions and attention, and nothing else."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(sample, training=False)
    return int(counter.get_total_flops()), "PyTorch's FlopCounterMode (matrix products and convolutions)"


def _uncounted(model: Any, sample: "NDArray[Any]") -> tuple[int | None, str]:
    del model, sample
    return None, "nobody: the backend has no counter"


COUNTERS: dict[str, Callable[[Any, "NDArray[Any]"], tuple[int | None, str]]] = {
    "tensorflow": flops_tensorflow,
    "torch": flops_torch,
}


def _times(call: Callable[[], Any]) -> list[float]:
    for _ in range(WARM_UP):
        call()
    taken: list[float] = []
    while len(taken) < MOST_CALLS and sum(taken) < MOST_SECONDS:
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return taken


def _bytes(weight: Any) -> int:
    from airlock.model.backend import load_keras

    one = np.dtype(load_keras().backend.standardize_dtype(weight.dtype)).itemsize
    return int(np.prod(weight.shape)) * int(one)


def _forget_peak() -> None:
    reset = Path("/proc/self/clear_refs")
    if os.access(reset, os.W_OK):
        reset.write_text(CLEAR_PEAK)


def peak_memory() -> int:
    """Return this process's largest resident memory in bytes, since it was forgotten where the system can forget."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
