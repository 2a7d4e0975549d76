"""Which slices of the test samples a model is measured on, and what it must reach there: plain data, checked at parse.

A ``where`` is read by Python's own parser and then asked of pandas' ``DataFrame.query``; what passes here has nothing
in it but column names, constants, comparisons, ``in``, ``and``, ``or`` and ``not``: no call, no attribute, no index.
"""

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}$"
LONGEST = 2000
SAFE = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.Compare,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Eq,
    ast.NotEq,
    ast.In,
    ast.NotIn,
    ast.Name,
    ast.Load,
    ast.List,
    ast.Tuple,
    ast.Constant,
)
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Slice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Some of the samples, by ``where``, ``samples`` or ``clusters``; without any of these all of them.

    :param where: a query over the dataset version's metadata columns and ``label``, for example ``width < 10``.
    :param samples: path of a file with one sample id a line; the operator stores it as an artifact.
    :param clusters: so many slices, found by k-means with ``seed`` on the network's penultimate ``features`` or on its
        input, the ``pixels``.
    :param min_accuracy: threshold, likewise ``min_macro_f1``, ``max_log_loss`` and ``max_ece``.
    :param max_points_lost: percentage points of accuracy that may be lost against the champion on the same samples.
    :param min_count: samples that there must be; an empty slice is reported in any case.
    :param severity: whether a missed threshold fails the step or is shown.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    where: Annotated[str, msgspec.Meta(max_length=LONGEST)] = ""
    samples: str | Artifact = ""
    clusters: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    on: Literal["features", "pixels"] = "features"
    seed: int = 0
    min_accuracy: Share | None = None
    min_macro_f1: Share | None = None
    max_log_loss: Annotated[float, msgspec.Meta(ge=0)] | None = None
    max_ece: Share | None = None
    max_points_lost: Annotated[float, msgspec.Meta(ge=-100, le=100)] | None = None
    min_count: Annotated[int, msgspec.Meta(ge=0)] = 0
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        if sum(map(bool, (self.where, self.samples, self.clusters))) > 1:
            raise UserError(f"Slice {self.name!r} has more than one of where, samples and clusters.")
        if self.where:
            columns_of(self.where)

    @property
    def rule(self) -> str:
        """Which samples it has, for people."""
        if self.where:
            return self.where
        if self.clusters:
            return f"k-means on {self.on}, {self.clusters} clusters, seed {self.seed}"
        return "samples of a saved list" if self.samples else "every sample"


def decode_slices(declared: Sequence[Any]) -> list[Slice]:
    """Read the slices of a use case.

    :raises UserError: names the slice and the rule it breaks.
    """
    found = []
    for number, each in enumerate(declared, 1):
        try:
            found.append(msgspec.convert(each, Slice))
        except msgspec.ValidationError as error:
            name = each.get("name", number) if isinstance(each, dict) else number
            raise UserError(
                f"Slice {name!r} is not valid: {error}.",
                hint='A slice is {"name": "small", "where": "width < 10", "min_accuracy": 0.9}.',
            ) from error
    names = [each.name for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Two slices are called {twice[0]!r}.", hint="Give each a name of its own.")
    return found


def columns_of(where: str) -> set[str]:
    """Return the names of the columns that a query asks.

    :raises UserError: it is not a comparison of columns with constants.
    """
    try:
        tree = ast.parse(where.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"The query {where!r} cannot be read: {error}.", hint=_HINT) from error
    nodes = list(ast.walk(tree))
    if wrong := [node for node in nodes if not isinstance(node, SAFE)]:
        raise UserError(f"The query {where!r} has a {type(wrong[0]).__name__} in it.", hint=_HINT)
    if odd := [n.value for n in nodes if isinstance(n, ast.Constant) and not isinstance(n.value, str | int | float)]:
        raise UserError(f"The query {where!r} has the constant {odd[0]!r} in it.", hint=_HINT)
    if not isinstance(tree.body, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise UserError(f"The query {where!r} compares nothing.", hint=_HINT)
    if not (names := {node.id for node in nodes if isinstance(node, ast.Name)}):
        raise UserError(f"The query {where!r} names no column.", hint=_HINT)
    return names


_HINT = "Compare columns with constants: width < 10 and label in ['3', '8'] and not source == 'scan'."


def read_ids(path: Path) -> list[str]:
    """Read a saved list: one sample id a line; what follows a ``#`` is a comment.

    :raises UserError: it cannot be read, or names no sample.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The list of samples {path} cannot be read: {error}.", hint="Write one id a line.") from error
    return ids_of(lines, path.name)


def ids_of(lines: Iterable[str], name: str) -> list[str]:
    """Return the sample ids in the lines of a saved list.

    :raises UserError: a line is none, or there is none.
    """
    ids = [found for line in lines if (found := line.partition("#")[0].strip())]
    if wrong := [each for each in ids if not re.fullmatch("[0-9a-f]{64}", each)]:
        raise UserError(f"{name} has the line {wrong[0][:80]!r}, which is no sample id.", hint="Ids are sha256 in hex.")
    if not ids:
        raise UserError(f"{name} names no sample.", hint="Write one id a line, or leave the slice out.")
    return ids
