"""Which samples a slice has."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airlock.errors import UserError
from airlock.model.evaluation.slices import Slice, columns_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from airlock.model.tensors import Split

BATCH = 256


class Part(NamedTuple):
    """A slice's samples.

    :param name: of the slice, or of one of its clusters.
    :param members: ``bool [N]``.
    """

    name: str
    declared: Slice
    members: "NDArray[np.bool_]"


class Slicer:
    """Finds the samples of slices.

    :param frame: metadata, one row per sample in the order of the split.
    :param split: the samples.
    :param listed: sample ids of a slice's saved list.
    :param features: gives what the network makes of the samples, ``[N, …]``.
    """

    def __init__(
        self,
        frame: "pd.DataFrame",
        split: "Split",
        listed: Callable[[Slice], Iterable[str]],
        features: "Callable[[], NDArray[np.float32]]",
    ) -> None:
        self.frame = frame
        self.split = split
        self.listed = listed
        self.features = features

    def parts(self, declared: Slice) -> list[Part]:
        """Return a slice's parts: one, or as many as it has clusters, the largest first.

        :raises UserError: a column or so many clusters are not there.
        """
        if declared.clusters:
            return self._clusters(declared)
        if declared.where:
            members = query(self.frame, declared)
        elif declared.samples:
            members = np.isin(self.split.ids, np.array([name.encode() for name in self.listed(declared)], "S64"))
        else:
            members = np.ones(len(self.split.y), bool)
        return [Part(declared.name, declared, members)]

    def _clusters(self, declared: Slice) -> list[Part]:
        from sklearn.cluster import KMeans

        values = self.features() if declared.on == "features" else np.asarray(self.split.x)
        points = values.reshape(len(values), -1).astype(np.float32)
        if len(points) < declared.clusters:
            raise UserError(
                f"Slice {declared.name!r} asks for {declared.clusters} clusters of {len(points)} samples.",
                hint="Ask for fewer clusters.",
            )
        places = KMeans(declared.clusters, random_state=declared.seed, n_init=4).fit_predict(points)
        largest = np.argsort(-np.bincount(places, minlength=declared.clusters), kind="stable")
        names = [f"{declared.name} {number}" for number in range(1, declared.clusters + 1)]
        return [Part(name, declared, places == place) for name, place in zip(names, largest, strict=True)]


def query(frame: "pd.DataFrame", declared: Slice) -> "NDArray[np.bool_]":
    """Return which rows a slice's query holds for; a missing value holds for no comparison but ``!=``.

    :raises UserError: there is no such column, or it cannot be compared so.
    """
    if unknown := sorted(columns_of(declared.where) - set(frame.columns)):
        raise UserError(
            f"Slice {declared.name!r} asks for {unknown[0]!r}, which is no column of the data.",
            hint=f"Columns: {', '.join(map(str, frame.columns))}.",
        )
    try:
        found = frame.reset_index(drop=True).query(declared.where, engine="python").index
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise UserError(
            f"Slice {declared.name!r} cannot be asked as {declared.where!r}: {error}.",
            hint="Compare numbers with numbers and words with words.",
        ) from error
    members = np.zeros(len(frame), bool)
    members[np.asarray(found, dtype=np.int64)] = True
    return members


def penultimate(model: Any, x: "NDArray[Any]") -> "NDArray[np.float32]":
    """Return what goes into a network's last layer with weights, ``[N, …]``.

    :raises UserError: the network is not a graph of layers.
    """
    from airlock.model.backend import load_keras

    keras = load_keras()
    weighted = [layer for layer in model.layers if layer.weights]
    try:
        inner = keras.Model(model.inputs[0] if len(model.inputs) == 1 else model.inputs, weighted[-1].input)
    except (IndexError, AttributeError, ValueError) as error:
        raise UserError(
            f"The network's penultimate features cannot be reached: {error}.", hint='Say "on": "pixels" for clusters.'
        ) from error
    return np.concatenate([inner.predict_on_batch(x[at : at + BATCH]) for at in range(0, len(x), BATCH)])
