"""Runs a package's ``postprocess(outputs, **parameters)``: from what the model says to what is answered."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airlock.deployment.config import PackageConfig
from airlock.deployment.outputs import AnyArray, Custom
from airlock.errors import ModelError
from airlock.model.usercode import Blame, load_function

HINT = "Correct `postprocess` in the package's postprocessing code."


class Postprocessor:
    """A package's ``postprocess``, checked at every call.

    :param path: the code file; it defines ``postprocess(outputs, **parameters)``, a pure function of one sample's
        outputs of the model by name, as arrays, that returns a mapping with the outputs whose source it is.
    :raises UserError: the file cannot be imported or lacks the function.
    """

    def __init__(self, path: Path, config: PackageConfig) -> None:
        self._function = load_function(path, "postprocess")
        self._parameters = config.postprocessing.parameters if config.postprocessing else {}
        self._outputs = {each.name: each for each in config.outputs if each.source == "postprocessing"}

    def __call__(self, row: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the outputs that the postprocessing makes of one sample.

        :raises ModelError: it raised, or returned something else.
        """
        with Blame("postprocess failed", HINT, ModelError):
            made = self._function({name: values.copy() for name, values in row.items()}, **self._parameters)
        if not isinstance(made, Mapping) or made.keys() != self._outputs.keys():
            found = ", ".join(map(str, made)) if isinstance(made, Mapping) else f"a {type(made).__name__}"
            raise ModelError(f"postprocess returned {found}, not {', '.join(self._outputs) or 'nothing'}.", hint=HINT)
        return {
            name: _json(name, made[name]) if isinstance(output, Custom) else _array(made[name], output)
            for name, output in self._outputs.items()
        }


def _json(name: str, value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"postprocess returned no JSON for {name!r}: {error}.", hint=HINT) from error
    return value


def _array(value: Any, output: AnyArray) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise ModelError(f"postprocess returned a {type(value).__name__} for {output.name!r}, not an array.", hint=HINT)
    if str(value.dtype) != output.dtype or value.shape != output.dimensions:
        raise ModelError(
            f"postprocess returned {value.dtype} {list(value.shape)} for {output.name!r}, "
            f"not {output.dtype} {list(output.dimensions)}.",
            hint=HINT,
        )
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ModelError(f"postprocess returned values for {output.name!r} that are no finite numbers.", hint=HINT)
    return value
