"""Knowledge distillation: a small network learns what the large one answers."""

from typing import Annotated, Any

import msgspec

from airlock.errors import UserError
from airlock.model.compression.graph import functional, like, rebuilt
from airlock.model.compression.method import Share, Work
from airlock.model.compression.retraining import Retrained, fresh, retrain
from airlock.references import Artifact


class Distillation(Retrained, frozen=True, kw_only=True, tag_field="method", tag="distillation"):
    """Trains a student from random weights on labels and the teacher's softened answers.

    Hinton, G., Vinyals, O., Dean, J. (2015): Distilling the knowledge in a neural network.

    :param architecture: the student: ``network.py`` or an architecture; empty for a slimmer copy of the teacher.
    :param parameters: of the architecture.
    :param keep: share of each layer's filters and units that the slimmer copy has.
    """

    architecture: str | Artifact = ""
    parameters: dict[str, Any] = {}
    keep: Share = 0.25
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 30
    soft: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.7

    def apply(self, model: Any, work: Work) -> Any:
        """Build the student and let it learn."""
        fresh(work)
        return retrain(self._student(model, work), model, work, self)

    def _student(self, model: Any, work: Work) -> Any:
        if not self.architecture:
            from airlock.model.compression.structured import slimmed

            fitted = functional(slimmed(model, self.keep))
            return rebuilt(fitted, like)
        from airlock.model.network import Network

        if isinstance(self.architecture, str):
            raise UserError(
                f"The student is in the file {self.architecture}, which only the operator can read.",
                hint="Pass the methods through the compress operator.",
            )
        x = work.train.x
        path = work.fetch(self.architecture)
        return Network(path, x.shape[1:], work.classes, self.parameters, str(x.dtype)).build()
