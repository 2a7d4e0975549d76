"""``airlock model results``, ``compare`` and ``card``: what was measured of models, and what their cards say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from airlock.commands.output import console, plain
from airlock.digests import PREFIX, short
from airlock.errors import UserError
from airlock.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airlock.governance.evaluations import Measurement
    from airlock.governance.history import Asked, History
    from airlock.model.evaluation.tables import Row, Subject
    from airlock.stores.artifacts import ArtifactStore

Model = Annotated[
    str, typer.Argument(help="Digest of a candidate's manifest or of a model, or NAME@VERSION in MLflow.")
]
Html = Annotated[Path | None, typer.Option("--html", help="Also write it as a page to this file.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(results)
    app.command()(compare)
    app.command()(card)


def results(model: Model) -> None:
    """Show what was measured of a model: each slice of each dataset version once."""
    subject = _subject(model)
    found = sorted(_measured(subject.model), key=lambda each: (each.time, each.slice))
    if not found:
        raise UserError(f"Nothing was measured of {subject.title}.", hint="Run its pipeline's evaluate task.")
    shown = Table("dataset", "split", "slice", "samples", "accuracy", "macro F1", "log loss", "ECE", box=None)
    for each in found:
        data = f"{each.dataset.name}@{each.dataset.version}" if each.dataset else "–"
        figures = [_figure(each, name) for name in ("accuracy", "macro_f1", "log_loss", "ece")]
        shown.add_row(data, each.split, f"{each.slice}: {each.rule}", f"{each.count:,}", *figures)
    console.print(shown)


def compare(
    dataset: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or digest of a dataset version.")],
    models: Annotated[list[str], typer.Argument(help="Digests of manifests or models, or NAME@VERSION in MLflow.")],
    slice_name: Annotated[str, typer.Option("--slice", help="A slice's name.")] = "",
    html: Html = None,
) -> None:
    """Put models side by side on one dataset version: claimed against measured figures."""
    from airlock.governance.evaluations import WHOLE_SPLIT
    from airlock.model.evaluation.tables import render, table

    where = slice_name or WHOLE_SPLIT
    rows = table([_subject(model) for model in models], list(_measured()), dataset, where)
    _print(rows)
    if html:
        html.write_bytes(render(rows, f"{dataset}, {where}"))
        plain.print(f"wrote {html}")


def card(
    manifest: Annotated[str, typer.Argument(help="Digest of a candidate's manifest, or the beginning of it.")],
    html: Html = None,
) -> None:
    """Print a candidate's model card, with the answers that were signed at its gate."""
    from airlock.governance.history import Asked
    from airlock.model.card import page
    from airlock.stores.layers import open_layers

    history = _history()
    digest = history.manifest(manifest)
    asked = [each for each in history.about(digest) if isinstance(each, Asked)]
    text = _card(open_layers(settings()), digest, history, asked)
    plain.print(text)
    if html:
        html.write_bytes(page(text, f"Manifest {short(digest)}"))
        plain.print(f"wrote {html}")


def _card(store: "ArtifactStore", digest: str, history: "History", asked: "list[Asked]") -> str:
    import msgspec

    from airlock.governance.evaluations import Evaluation
    from airlock.governance.manifest import CandidateManifest, DataManifest, load
    from airlock.model.card import render

    candidate = load(store, digest, CandidateManifest)
    evaluation = msgspec.json.decode(store.read(candidate.evaluation.digest), type=Evaluation)
    forms = [history.policies[each.request.policy].form for each in asked]
    return render(
        candidate,
        evaluation,
        load(store, candidate.data, DataManifest),
        digest=digest,
        decisions=[decision for each in asked for decision in each.decisions],
        questions={name: field.title for form in forms for name, field in form.items()},
    )


def _print(rows: "list[Row]") -> None:
    from airlock.model.evaluation.tables import names

    shown = Table("model", "samples", *names(rows), box=None, pad_edge=False)
    for row in rows:
        if row.measurement is None:
            shown.add_row(row.subject.title, "not measured on this")
            continue
        cells = {cell.name: cell for cell in row.cells}
        shown.add_row(
            row.subject.title,
            f"{row.measurement.count:,}",
            *(cells[name].text if name in cells else "–" for name in names(rows)),
        )
    console.print(shown)
    for row in rows:
        for cell in row.cells:
            if cell.claimed is not None:
                verdict = "OUTSIDE the interval" if cell.differs else "inside the interval"
                plain.print(
                    f"{row.subject.title}: {cell.name} claimed {cell.claimed:.4f}, measured {cell.text}: {verdict}"
                )


def _figure(measured: "Measurement", name: str) -> str:
    if name not in measured.figures:
        return "–"
    low, high = measured.intervals[name]
    return f"{measured.figures[name]:.4f} ({low:.4f}–{high:.4f})"


def _measured(model: str = "") -> "Iterator[Measurement]":
    from airlock.model.evaluation.kept import measurements
    from airlock.stores.layers import open_sealed

    return measurements(open_sealed(settings()), model)


def _subject(named: str) -> "Subject":
    """Find a model: by its registered version, by a candidate's manifest, else by its own digest."""
    from airlock.governance.manifest import CandidateManifest, load
    from airlock.model.evaluation.tables import Subject
    from airlock.stores.layers import open_layers

    digest = PREFIX + (_registered(named) if "@" in named else named).removeprefix(PREFIX)
    try:
        found = load(open_layers(settings()), digest, CandidateManifest)
    except UserError:  # it is a model's own digest, or the beginning of one
        return Subject(title=short(digest), model=digest)
    claims = {name: float(value) for name, value in found.card_facts.get("claims", {}).items()}
    title = f"{found.version.name}@{found.version.version} {short(found.model.digest)}"
    return Subject(title=title, model=found.model.digest, claimed=found.metrics | claims)


def _registered(named: str) -> str:
    from airlock.model.names import MANIFEST
    from airlock.model.registry import Registry
    from airlock.references import ModelVersion

    name, _, version = named.rpartition("@")
    tags = Registry(settings().tracking).version_tags(ModelVersion(name=name, version=version))
    if MANIFEST not in tags:
        raise UserError(f"Version {version} of {name} has no manifest.", hint="Its register task did not finish.")
    return tags[MANIFEST]


def _history() -> "History":
    from airlock.governance.history import History
    from airlock.stores.database import open_database
    from airlock.stores.ledger import Ledger

    return History.open(Ledger(open_database(settings().database)), settings().public_keys)
