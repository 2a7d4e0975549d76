"""``airlock package``: what contributors do before they hand a package over."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from airlock.commands.output import console, plain

if TYPE_CHECKING:
    from airlock.deployment.report import Check, Report

app = typer.Typer(no_args_is_help=True, help="Packages: check one, show one.")
Folder = Annotated[Path, typer.Argument(help="The folder that holds airlock.json.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.callback()
def main() -> None:
    """Packages: check one, show one."""


@app.command()
def check(path: Folder, as_json: Json = False) -> None:
    """Check schema, licence, samples, model and parity, then a real server: the same that the contract test checks.

    Runs the package's code. Exit status 1 when a check fails.
    """
    from airlock.deployment.checking import check_folder

    report = check_folder(path)
    plain.print(msgspec.json.encode(report).decode()) if as_json else _print(report)
    if report.failed:
        raise typer.Exit(1)


@app.command()
def show(path: Folder, as_json: Json = False) -> None:
    """Show what a package says of itself; runs nothing of it."""
    from airlock.deployment.outputs import Custom
    from airlock.deployment.package import read_package

    package = read_package(path)
    config = package.config
    if as_json:
        plain.print(msgspec.json.encode(config).decode())
        return
    plain.print(f"{config.name} of {config.use_case}, {config.engine}, {package.digest}")
    plain.print(f"from {config.manifest}; licences: {config.licences.code} and {config.licences.data}")
    table = Table("", "name", "kind", "tensor", box=None, pad_edge=False)
    for side, tensors in (("in", config.inputs), ("out", config.outputs)):
        for each in tensors:
            shape = "JSON" if isinstance(each, Custom) else f"{each.dtype} {list(each.dimensions)}"
            table.add_row(side, each.name, str(type(each).__struct_config__.tag), Text(shape))
    console.print(table)
    plain.print(f"{len(package.samples)} samples; " + ", ".join(f"{k} {v:g}" for k, v in config.metrics.items()))


def _print(report: "Report") -> None:
    groups: dict[str, list[Check]] = defaultdict(list)
    for each in report.checks:
        groups[each.group].append(each)
    table = Table("check", "", "found", "way out", box=None, pad_edge=False)
    for group, checks in groups.items():
        wrong = [each for each in checks if not each.passed]
        if not wrong:
            found = checks[0].detail if len(checks) == 1 else f"{len(checks)} tried"
            table.add_row(group, "ok", Text(found), "")
        for each in wrong:
            name = "" if each.name == group else f"{each.name}: "
            table.add_row(group, "FAILED", Text(f"{name}{each.detail}"), Text(each.hint))
    console.print(table)
    plain.print(f"{len(report.checks) - len(report.failed)} of {len(report.checks)} checks passed")
