"""Chains of methods: rewrites one after the other, and an export at the end.

Plain data, checked while a DAG is parsed.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.model.compression.distillation import Distillation
from airlock.model.compression.litert import LitertDynamic, LitertFloat16, LitertFloat32, LitertInt8
from airlock.model.compression.low_rank import LowRank
from airlock.model.compression.magnitude import MagnitudePruning
from airlock.model.compression.method import Export, Method, Rewrite
from airlock.model.compression.onnx import OnnxFloat32, OnnxInt8Static
from airlock.model.compression.structured import StructuredPruning

Known = (
    LitertFloat32
    | LitertDynamic
    | LitertFloat16
    | LitertInt8
    | OnnxFloat32
    | OnnxInt8Static
    | MagnitudePruning
    | StructuredPruning
    | LowRank
    | Distillation
)
NAMES = sorted(str(kind.__struct_config__.tag) for kind in Known.__args__)
HINT = 'A method is "litert_int8", {"method": "structured_pruning", "keep": 0.5}, or a list of them.'


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """One way to compress.

    :param rewrites: what is done to the Keras model.
    :param export: what makes a file of it.
    """

    rewrites: list[Rewrite]
    export: Export

    def __str__(self) -> str:
        told = [*map(str, self.rewrites), str(self.export)]
        return " + ".join(told[:-1] if self.rewrites and self.export == LitertFloat32() else told)


def decode_chains(declared: Sequence[Any]) -> list[Chain]:
    """Read the methods of a use case.

    :param declared: each a name, ``{"method": name, …parameters}``, or a list of these in order; one that ends without
        an export is written as ``litert_float32``.
    :raises UserError: names the method and the rule it breaks.
    """
    if isinstance(declared, str | dict) or not declared:
        raise UserError(f"methods is {declared!r}, not a list of ways to compress.", hint=HINT)
    chains = [_chain(each) for each in declared]
    names = [str(chain) for chain in chains]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"The method {twice[0]} is there twice.", hint="Declare it once.")
    return chains


def plain(chain: Chain) -> list[Any]:
    """Return a chain as plain data."""
    built: list[Any] = msgspec.to_builtins([*chain.rewrites, chain.export])
    return built


def _chain(declared: Any) -> Chain:
    parts = [_method(each) for each in (declared if isinstance(declared, list | tuple) else [declared])]
    if not parts:
        raise UserError("A chain of methods is empty.", hint=HINT)
    *before, last = parts
    if wrong := [each for each in before if isinstance(each, Export)]:
        raise UserError(
            f"{wrong[0]} writes a file, so that {last} cannot follow it.", hint="Put it at the end of the chain."
        )
    export = last if isinstance(last, Export) else LitertFloat32()
    return Chain(rewrites=[each for each in parts if isinstance(each, Rewrite)], export=export)


def _method(declared: Any) -> Method:
    document = {"method": declared} if isinstance(declared, str) else declared
    try:
        found: Method = msgspec.convert(document, Known)
    except msgspec.ValidationError as error:
        raise UserError(
            f"The method {declared!r} is not valid: {error}.", hint=f"{HINT} Methods: {', '.join(NAMES)}."
        ) from error
    return found
