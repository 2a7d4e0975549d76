"""What was measured once is kept: answers, figures and footprints, as documents of the sealed store by what they follow
from. The same model, dataset version and slice are never computed twice."""

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from airlock.digests import PREFIX, digest_document
from airlock.governance.evaluations import Footprint, Measurement
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

WAY = 1  # of measuring: another number where the same answers would now give other figures
FOLDER = "measurements"


class Kept:
    """Measurements in the sealed store."""

    def __init__(self, sealed: ArtifactStore) -> None:
        self.sealed = sealed

    def answers(self, model: str, samples: str, compute: "Callable[[], NDArray[np.float32]]") -> "NDArray[np.float32]":
        """Return a model's probabilities ``[N, classes]``.

        :param model: its digest.
        :param samples: digest that stands for the samples and how they were transformed.
        """
        name = f"answers/{_hex(model)}/{_hex(samples)}.json"
        if (known := self.sealed.document(name)) is not None:
            stored = msgspec.json.decode(known, type=Artifact)
            found: NDArray[np.float32] = np.load(io.BytesIO(self.sealed.read(stored.digest)), allow_pickle=False)
            return found
        made, content = compute(), io.BytesIO()
        np.save(content, made)
        self.sealed.create_document(name, msgspec.json.encode(self.sealed.put(content.getvalue())))
        return made

    def measurement(self, key: Measurement, samples: str, compute: Callable[[], Measurement]) -> Measurement:
        """Return a model's figures on a slice.

        :param key: says model, dataset version and slice.
        :param samples: digest of the slice's sample ids with their classes.
        """
        data = key.dataset.digest if key.dataset else samples
        part = digest_document([WAY, key.split, key.slice, key.rule, samples])
        name = f"{FOLDER}/{_hex(key.model)}/{_hex(data)}/{_hex(part)}.json"
        found: Measurement = self._once(name, Measurement, compute)
        return found

    def footprint(self, model: str, compute: Callable[[], Footprint]) -> Footprint:
        """Return what a model costs."""
        found: Footprint = self._once(f"footprints/{_hex(model)}.json", Footprint, compute)
        return found

    def _once(self, name: str, kind: type[Any], compute: Callable[[], Any]) -> Any:
        if (known := self.sealed.document(name)) is None:
            self.sealed.create_document(name, msgspec.json.encode(compute()))
            known = self.sealed.document(name) or b""  # another try may have been faster: its figures stand
        return msgspec.json.decode(known, type=kind)


def measurements(sealed: ArtifactStore, model: str = "") -> Iterator[Measurement]:
    """Yield what was measured.

    :param model: digest of a model, or the beginning of it; empty for all.
    """
    for name in sealed.documents(FOLDER):
        if name.split("/")[1].startswith(_hex(model)):
            yield msgspec.json.decode(sealed.document(name) or b"", type=Measurement)


def _hex(digest: str) -> str:
    return digest.removeprefix(PREFIX)
