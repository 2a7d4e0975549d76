"""One sample's outputs to the document it is answered with, and whether two answers are the same."""

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from airlock.deployment.config import PackageConfig, Sample
from airlock.deployment.outputs import Answer, AnyArray, Custom, Labels, Mask, Picture, Probabilities


def document(values: Mapping[str, Any], config: PackageConfig) -> Answer:
    """Return the answer to one sample.

    :param values: every output of it by name: an array, or custom JSON.
    :return: each output under its name, as its kind says; of the first probabilities ``label``, ``probability`` and
        ``probabilities`` lie at the top.
    """
    answer: Answer = {}
    for output in config.outputs:
        value = values[output.name]
        if output is config.probabilities:
            answer |= _probabilities(value, output)
        elif isinstance(output, Custom):
            answer[output.name] = value
        else:
            answer[output.name] = _shown(value, output)
    return answer


def stated(sample: Sample, config: PackageConfig) -> Answer:
    """Return the answer, as JSON, that a package states for one of its samples."""
    values = {
        each.name: sample.outputs[each.name]
        if isinstance(each, Custom)
        else np.asarray(sample.outputs[each.name], each.dtype)
        for each in config.outputs
    }
    answer: Answer = msgspec.json.decode(to_json(document(values, config)))
    return answer


def apart(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> float:
    """Return the largest difference of two answers; a large output that is answered as a link to a file is left out."""
    linked = {key for key, value in found.items() if isinstance(value, dict) and "url" in value}
    return max((difference(found.get(key), wanted[key]) for key in wanted.keys() - linked), default=0.0)


def to_json(answer: Any) -> bytes:
    """Encode an answer, arrays as nested lists."""
    return msgspec.json.encode(answer, enc_hook=np.ndarray.tolist)


def difference(found: Any, stated: Any) -> float:
    """Return the largest absolute difference of two values of the same output; infinity where they are unlike.

    :param found: an array or JSON; ``stated`` JSON, an array as nested lists.
    """
    if isinstance(found, np.ndarray):
        other = np.asarray(stated, np.float64)
        if other.shape != found.shape:
            return math.inf
        return float(np.max(np.abs(found.astype(np.float64) - other), initial=0.0))
    if isinstance(found, Mapping) and isinstance(stated, Mapping) and found.keys() == stated.keys():
        return max((difference(found[key], stated[key]) for key in found), default=0.0)
    if isinstance(found, list) and isinstance(stated, list) and len(found) == len(stated):
        return max((difference(*pair) for pair in zip(found, stated, strict=True)), default=0.0)
    if _is_figure(found) and _is_figure(stated):
        return float(abs(found - stated))
    return 0.0 if found == stated else math.inf


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _probabilities(row: NDArray[Any], output: Probabilities) -> Answer:
    named = dict(zip(output.classes, row.tolist(), strict=True))
    label = output.classes[int(row.argmax())]
    return {"label": label, "probability": named[label], "probabilities": named}


def _shown(value: NDArray[Any], output: AnyArray) -> Any:
    if isinstance(output, Probabilities):
        return _probabilities(value, output)
    if isinstance(output, Labels):
        return _labels(value, output)
    if isinstance(output, Mask):
        return {"png": png(classes_of(value, output)), "classes": output.classes}
    if isinstance(output, Picture):
        return {"png": png(np.rint(255 * np.clip(value, 0, 1)) if value.dtype == np.float32 else value)}
    return value


def _labels(row: NDArray[Any], output: Labels) -> list[dict[str, Any]]:
    order = np.argsort(-row, kind="stable")[: output.top]
    return [
        {"label": output.classes[at], "score": float(row[at])} for at in order.tolist() if row[at] >= output.threshold
    ]


def classes_of(value: NDArray[Any], output: Mask) -> NDArray[np.uint8]:
    """Return the class number (height, width) of each pixel of a mask."""
    if value.ndim == 3 and value.shape[2] > 1:
        return np.asarray(value.argmax(axis=2), np.uint8)
    flat = value.reshape(value.shape[:2])
    return np.asarray(flat >= output.threshold if flat.dtype.kind == "f" else flat, np.uint8)


def png(values: NDArray[Any]) -> str:
    """Return grey or colour values (height, width) or (height, width, 1 or 3) as a PNG in base64."""
    file = io.BytesIO()
    flat = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    Image.fromarray(flat.astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
