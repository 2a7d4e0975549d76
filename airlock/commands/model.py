"""``airlock model``: what a network is made of."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from airlock.commands.output import console, plain
from airlock.digests import PREFIX, short
from airlock.errors import UserError
from airlock.model.architecture import Architecture, check, found_in, read
from airlock.model.architecture.reading import SUFFIXES
from airlock.settings import settings

app = typer.Typer(no_args_is_help=True, help="Networks: layers, shapes, weights.")


@app.callback()
def main() -> None:
    """Networks: layers, shapes, weights."""


class Row(msgspec.Struct, frozen=True):
    """One layer, as it is shown.

    :param shape: what it makes for one sample.
    :param parameters: weights that training changes.
    :param frozen: weights that it does not.
    """

    node: str
    layer: str
    inputs: list[str]
    shape: list[int]
    dtype: str
    parameters: int
    frozen: int


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a network."""

    name: str
    digest: str = ""
    input: list[int]
    dtype: str
    layers: list[Row]
    parameters: int
    frozen: int


@app.command()
def show(
    network: Annotated[
        str, typer.Argument(help="An architecture, a network.py, or the digest of a candidate's manifest.")
    ],
    parameters: Annotated[
        str, typer.Option(help='JSON, such as {"filters": 64, "net[\'conv*\'].activation": "elu"}.')
    ] = "{}",
    classes: Annotated[int | None, typer.Option(min=1, help="Number of classes; 10 unless the manifest says.")] = None,
    shape: Annotated[str, typer.Option(help="One sample's shape, for a network.py, for example 28,28,1.")] = "",
    dtype: Annotated[str, typer.Option(help="One sample's dtype, for a network.py.")] = "uint8",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show a network's layers with their shapes and weights; an architecture needs no TensorFlow for that."""
    given = _parameters(parameters)
    if network.startswith(PREFIX):
        shown = _of_manifest(network, given, classes, _sizes(shape), dtype)
    else:
        if not Path(network).is_file():
            raise UserError(f"There is no file {network}.", hint=f"Name a .py, {', '.join(SUFFIXES)} or sha256:….")
        shown = _of_file(Path(network), given, classes or 10, _sizes(shape), dtype)
    plain.print(msgspec.json.encode(shown).decode()) if as_json else _print(shown)


def _of_file(path: Path, parameters: Mapping[str, Any], classes: int, shape: list[int], dtype: str) -> Shown:
    if (architecture := found_in(path)) is not None:
        return _of_architecture(architecture, parameters, classes)
    if not shape:
        raise UserError(f"{path.name} is code, which does not say what it reads.", hint="Add --shape, such as 28,28,1.")
    from airlock.model.network import Network

    return _of_model(path.name, Network(path, shape, classes, parameters, dtype).build())


def _of_manifest(digest: str, more: Mapping[str, Any], classes: int | None, shape: list[int], dtype: str) -> Shown:
    from airlock.governance.manifest import CandidateManifest, load
    from airlock.stores.layers import open_layers

    store = open_layers(settings())
    manifest = load(store, digest, CandidateManifest)
    data, name = store.read(manifest.network_code.digest), f"of {short(digest)}"
    parameters, count = {**manifest.parameters, **more}, classes or len(manifest.classes)
    if data.lstrip().startswith(b"{"):
        return _of_architecture(read(data, name), parameters, count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.py"
        path.write_bytes(data)
        return _of_file(path, parameters, count, shape, dtype)


def _of_architecture(architecture: Architecture, parameters: Mapping[str, Any], classes: int) -> Shown:
    report = check(architecture, parameters, classes)
    rows = [
        Row(
            node=node.name,
            layer=node.layer.kind,
            inputs=list(node.inputs),
            shape=list(node.made.shape),
            dtype=node.made.dtype,
            parameters=node.made.trainable,
            frozen=node.made.frozen,
        )
        for node in report.nodes
        if node.made
    ]
    return Shown(
        name=architecture.name,
        digest=architecture.digest,
        input=list(architecture.shape),
        dtype=architecture.dtype,
        layers=rows,
        parameters=report.trainable,
        frozen=report.frozen,
    )


def _of_model(name: str, model: Any) -> Shown:
    rows = [_row(layer) for layer in model.layers if type(layer).__name__ != "InputLayer"]
    return Shown(
        name=name,
        input=list(model.input_shape[1:]),
        dtype=model.inputs[0].dtype,
        layers=rows,
        parameters=sum(row.parameters for row in rows),
        frozen=sum(row.frozen for row in rows),
    )


def _row(layer: Any) -> Row:
    import keras

    frozen = sum(int(keras.ops.size(weight)) for weight in layer.non_trainable_weights)
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return Row(
        node=layer.name,
        layer=type(layer).__name__,
        inputs=[tensor._keras_history.operation.name for tensor in inputs],
        shape=list(layer.output.shape[1:]),
        dtype=layer.output.dtype,
        parameters=layer.count_params() - frozen,
        frozen=frozen,
    )


def _print(shown: Shown) -> None:
    digest = f" ({short(shown.digest)})" if shown.digest else ""
    plain.print(f"{shown.name}{digest} reads {shown.dtype} {shown.input}")
    table = Table(box=None, pad_edge=False)
    for title in ("node", "layer", "inputs", "output", "parameters", "frozen"):
        table.add_column(title, justify="right" if title in ("parameters", "frozen") else "left")
    for row in shown.layers:
        made = " × ".join(map(str, row.shape)) + ("" if row.dtype == "float32" else f" {row.dtype}")
        table.add_row(row.node, row.layer, ", ".join(row.inputs), made, f"{row.parameters:,}", f"{row.frozen:,}")
    console.print(table)
    plain.print(f"{len(shown.layers)} layers, {shown.parameters:,} parameters and {shown.frozen:,} that stay")


def _parameters(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text.encode(), type=dict[str, Any])
    except msgspec.MsgspecError as error:
        example = json.dumps({"filters": 64})
        raise UserError(f"--parameters is no JSON mapping: {error}.", hint=f"Write it like '{example}'.") from error


def _sizes(text: str) -> list[int]:
    try:
        return [int(size) for size in text.split(",")] if text else []
    except ValueError as error:
        raise UserError(f"--shape is {text!r}.", hint="Write it like 28,28,1.") from error
