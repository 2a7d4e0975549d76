"""The parameters that a training itself reads; the network may have more."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from airlock.errors import UserError

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What a training does besides what its network is.

    :param patience: epochs without a lower validation loss after which it stops; 0 for never.
    :param weight_decay: decoupled, of every weight; 0 for none.
    :param explosion: an epoch's loss of more than so many times the first epoch's ends the training as a failure.
    :param backend: what Keras computes with.
    :param precision: Keras's dtype policy; the mixed ones compute in 16 bits and keep weights in 32
        (Micikevicius et al. 2018, Mixed precision training).
    :param xla: compile the training step with XLA; unset leaves it to Keras. TensorFlow only.
    """

    epochs: Annotated[int, msgspec.Meta(ge=1)] = 10
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    learning_rate: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    patience: Annotated[int, msgspec.Meta(ge=0)] = 0
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd", "lion"] = "adam"
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    explosion: Annotated[float, msgspec.Meta(gt=1)] = 20.0
    backend: Literal["tensorflow", "torch"] = "tensorflow"
    precision: Precision = "float32"
    xla: bool | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> "Schedule":
        """Read it from a use case's parameters.

        :raises UserError: a value is of the wrong type or out of range.
        """
        try:
            return msgspec.convert(dict(parameters), cls)
        except msgspec.ValidationError as error:
            raise UserError(
                f"The training's parameters are not valid: {error}.", hint="Correct `parameters`."
            ) from error

    @property
    def compile(self) -> bool | str:
        """What Keras calls ``jit_compile``."""
        return "auto" if self.xla is None else self.xla and self.backend == "tensorflow"

    def require_shareable(self, workers: int) -> None:
        """Check that several workers can train together.

        :raises UserError: XLA was asked for: it cannot compile what goes to the others.
        """
        if self.xla:
            raise UserError(
                f"`xla` cannot be used by {workers} workers: it would compile their exchange of gradients.",
                hint="Leave `xla` out, or take a compute profile of one worker.",
            )
