"""Makes the files of chains: a rewrite that several chains begin with is done once."""

from pathlib import Path
from typing import Any

from airlock.errors import UserError
from airlock.model.compression.chains import Chain
from airlock.model.compression.method import Rewrite, Work


class Workshop:
    """A model and what was made of it.

    :param model: the Keras model; it stays as it is.
    """

    def __init__(self, model: Any, work: Work) -> None:
        self.model = model
        self.work = work
        self._rewritten: dict[str, Any] = {}

    def make(self, chain: Chain, path: Path) -> None:
        """Write a chain's file.

        :raises UserError: the model cannot be compressed so.
        """
        import tensorflow as tf
        from tensorflow.lite.python.convert_phase import ConverterError

        try:
            chain.export.write(self._model(tuple(chain.rewrites)), self.work, path)
        except UserError:
            raise
        except (ValueError, TypeError, KeyError, RuntimeError, tf.errors.OpError, ConverterError) as error:
            # What Keras, TensorFlow and the quantisers raise for a model that they cannot take: the others may.
            said = (str(error).splitlines() or [""])[0][:300]
            raise UserError(f"{type(error).__name__}: {said}", hint="Take another method.") from error

    def _model(self, rewrites: tuple[Rewrite, ...]) -> Any:
        if not rewrites:
            return self.model
        name = " + ".join(map(str, rewrites))
        if name not in self._rewritten:
            self._rewritten[name] = rewrites[-1].apply(self._model(rewrites[:-1]), self.work)
        return self._rewritten[name]
