"""``airlock lineage``: what a sample, dataset, label set, model, manifest or run was made from, and what came of it."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from airlock.commands.output import plain
from airlock.errors import UserError
from airlock.settings import settings

if TYPE_CHECKING:
    from airlock.lineage.graph import Branch
    from airlock.lineage.report import Report


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(lineage)


def lineage(
    id: Annotated[str, typer.Argument(help="Sample, NAME@VERSION, digest or run id; the beginning will do.")] = "",  # noqa: A002 - shown as ID
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="As a Graphviz digraph.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index again from specs and results.")] = False,
) -> None:
    """Show what something was made from, and which models, decisions and deployments came of it."""
    from airlock.lineage.rebuilding import rebuild as make_index
    from airlock.lineage.report import report
    from airlock.stores.layers import open_layers

    if rebuild:
        plain.print(f"indexed {make_index(settings(), open_layers(settings()))} results")
    if not id:
        if not rebuild:
            raise UserError("Lineage of what?", hint="Give an id: `airlock lineage --help`.")
        return
    found = report(settings(), id)
    if json:
        plain.print(msgspec.json.format(msgspec.json.encode(found.plain), indent=2).decode())
    elif dot:
        plain.print(found.dot)
    else:
        _print(found)


def _print(found: "Report") -> None:
    for root in found.roots:
        plain.print(root.text)
        for title, branches in (("", root.below), ("made from", root.up), ("went into", root.down)):
            _section(title, branches)
    if found.summary:
        plain.print(found.summary)


def _section(title: str, branches: "list[Branch]") -> None:
    from rich.tree import Tree

    if not branches:
        return
    tree = Tree(title, hide_root=not title)
    for branch in branches:
        _grow(tree, branch)
    plain.print(tree)


def _grow(tree: "object", branch: "Branch") -> None:
    from rich.text import Text
    from rich.tree import Tree

    assert isinstance(tree, Tree)
    grown = tree.add(Text(branch.text + (" (see above)" if branch.repeated and branch.id else "")))
    for below in branch.below:
        _grow(grown, below)
