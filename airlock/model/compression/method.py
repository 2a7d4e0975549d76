"""What every method of compression is: its parameters, as plain data, and one thing that it does.

A :class:`Rewrite` gives another Keras model, an :class:`Export` a file for a runtime. The modules of the methods are
light to import: a DAG file that declares some is checked while it is parsed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec

from airlock.model.runnable import Engine
from airlock.references import Artifact

if TYPE_CHECKING:
    from airlock.model.tensors import Split

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Report = Callable[[int, int, dict[str, float]], None]


class Work(NamedTuple):
    """What a method works with.

    :param classes: number of classes.
    :param fetch: gives an artifact's file.
    :param report: called with epochs done, epochs in all and the metrics of the last one.
    """

    train: "Split"
    validation: "Split"
    classes: int
    seed: int
    fetch: Callable[[Artifact], Path]
    report: Report


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Root of the methods; the fields are the parameters."""

    def __str__(self) -> str:
        document = msgspec.to_builtins(self)
        name = document.pop("method")
        given = ", ".join(f"{key}={_short(value)}" for key, value in document.items())
        return f"{name}({given})" if given else str(name)


class Rewrite(Method, frozen=True, kw_only=True):
    """Makes another Keras model of one."""

    def apply(self, model: Any, work: Work) -> Any:
        """Return the other model, not compiled; the one given stays as it is.

        :raises UserError: this model cannot be rewritten so.
        """
        raise NotImplementedError


class Export(Method, frozen=True, kw_only=True):
    """Writes a Keras model as a file."""

    engine: ClassVar[Engine]

    def write(self, model: Any, work: Work, path: Path) -> None:
        """Write the file.

        :raises UserError: the runtime cannot express this model.
        """
        raise NotImplementedError


def _short(value: Any) -> str:
    return str(value["digest"])[7:19] if isinstance(value, dict) and "digest" in value else str(value)
