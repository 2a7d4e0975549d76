"""A comparison of each kind of manifest."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from airlock.digests import short
from airlock.errors import IntegrityError
from airlock.governance.comparison.changes import changes, code_of, data_changes, parameters_of
from airlock.governance.comparison.pairing import Answered, pair
from airlock.governance.comparison.parts import ClassRow, Comparison, Link, Metric, Paired, Shrunk
from airlock.governance.evaluations import ClassFigures, Compression, Evaluation, Interval, LabelFigures
from airlock.governance.manifest import CandidateManifest, DataManifest, LabellingManifest, ReleaseManifest
from airlock.governance.revisions import Revision
from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore

Document = TypeVar("Document", Evaluation, Compression, LabelFigures, Revision)


def data(store: ArtifactStore, base: Comparison, now: DataManifest, before: DataManifest | None) -> Comparison:
    """Compare data."""
    links = [Link(title="Validation report", artifact=now.report), Link(title="Dropped samples", artifact=now.dropped)]
    if now.label_report is not None:
        links.append(Link(title="Labelling report", artifact=now.label_report))
    told = data_changes(store, now, before)
    if now.labelling is not None:
        told = msgspec.structs.replace(told, labelling=read(store, now.labelling, LabelFigures))
    return msgspec.structs.replace(base, data=told, links=links)


def labelling(
    store: ArtifactStore, base: Comparison, now: LabellingManifest, before: LabellingManifest | None
) -> Comparison:
    """Say what people are asked; nothing that serves has such a manifest."""
    del store, before
    asked = {
        "dataset": f"{now.dataset.name} v{now.dataset.version} {short(now.dataset.digest)}",
        "samples": f"{now.samples:,} of {now.dataset.rows:,}",
        "people for each sample": str(now.overlap),
        "classes": ", ".join(now.classes),
        "chosen by": now.strategy or "hand",
        "instructions": now.instructions or "none",
    }
    links = [Link(title="Samples", artifact=now.batch), Link(title="Label config", artifact=now.config)]
    return msgspec.structs.replace(base, all_parameters=asked, links=links)


def candidate(
    store: ArtifactStore, base: Comparison, now: CandidateManifest, before: CandidateManifest | None
) -> Comparison:
    """Compare candidates by their evaluations."""
    told = read(store, now.evaluation, Evaluation)
    old = read(store, before.evaluation, Evaluation) if before else None
    figures = now.metrics | told.figures | {"model_bytes": now.model.size}
    earlier = before.metrics | old.figures | {"model_bytes": before.model.size} if before and old else {}
    links = [Link(title="Confusion matrix", artifact=now.picture), Link(title="Evaluation", artifact=now.evaluation)]
    links += [Link(title="Evaluation report", artifact=now.report)] if now.report else []
    links += [Link(title="Search report", artifact=now.search_report)] if now.search_report else []
    links += [Link(title="Model card", artifact=now.card)] if now.card else []
    links += [Link(title="Revision report", artifact=now.revision_report)] if now.revision_report else []
    return msgspec.structs.replace(
        base,
        metrics=metrics(figures, earlier, told.intervals, old.intervals if old else {}),
        classes=class_rows(told, old),
        slices=told.slices,
        paired=_same_samples(told, now.classes, base.champion)
        or pair_of(told, now.classes, old, before.classes if before else []),
        parameters=changes(parameters_of(now), parameters_of(before) if before else None),
        all_parameters=parameters_of(now),
        code=changes(code_of(now), code_of(before) if before else None),
        environment=changes(now.environment, before.environment if before else None),
        revises=now.revises,
        revision=read(store, now.revision, Revision) if now.revision else None,
        revised=_same_samples(told, now.classes, now.revises) if now.revises else None,
        links=links,
    )


def _same_samples(told: Evaluation, classes: list[str], champion: str) -> Paired | None:
    """Pair with what the evaluate step heard from this champion about exactly these samples."""
    asked = told.champion
    if asked is None or asked.manifest != champion or asked.predictions is None or told.predictions is None:
        return None
    now = Answered(told.predictions, classes, told.errors, told.texts)
    return pair(now, Answered(asked.predictions, classes, {}))


def release(store: ArtifactStore, base: Comparison, now: ReleaseManifest, before: ReleaseManifest | None) -> Comparison:
    """Compare releases by what compressing their candidates gave."""
    told = read(store, now.comparison, Compression)
    old = read(store, before.comparison, Compression) if before else None
    intervals = [{"accuracy": each.intervals["compressed"]} if each and each.intervals else {} for each in (told, old)]
    return msgspec.structs.replace(
        base,
        metrics=metrics(now.metrics, before.metrics if before else {}, *intervals),
        paired=pair_of(told, now.classes, old, before.classes if before else []),
        compression=shrunk(told, now.classes),
        links=[Link(title="Figures", artifact=now.comparison), Link(title="Package", artifact=now.package)],
    )


def metrics(
    now: Mapping[str, float],
    before: Mapping[str, float],
    intervals: Mapping[str, Interval],
    before_intervals: Mapping[str, Interval],
) -> list[Metric]:
    """Put two sets of figures side by side, by name."""
    return [
        Metric(
            name=name,
            now=now.get(name),
            before=before.get(name),
            interval=intervals.get(name),
            before_interval=before_intervals.get(name),
        )
        for name in sorted(now.keys() | before.keys())
    ]


def class_rows(now: Evaluation, before: Evaluation | None) -> list[ClassRow]:
    """Put the classes of two evaluations side by side, the weakest recall now first."""
    old = before.per_class if before else {}
    names = [*now.per_class, *(name for name in old if name not in now.per_class)]
    rows = [_class_row(name, now.per_class.get(name), old.get(name)) for name in names]
    return sorted(rows, key=lambda row: 2.0 if row.recall.now is None else row.recall.now)


def _class_row(name: str, now: ClassFigures | None, before: ClassFigures | None) -> ClassRow:
    def figure(of: str) -> Metric:
        return Metric(
            name=of,
            now=getattr(now, of, None),
            before=getattr(before, of, None),
            interval=getattr(now, f"{of}_interval", None),
            before_interval=getattr(before, f"{of}_interval", None),
        )

    support = now.support if now else None
    return ClassRow(name=name, support=support, recall=figure("recall"), precision=figure("precision"))


def pair_of(
    now: Evaluation | Compression, classes: list[str], before: Evaluation | Compression | None, old_classes: list[str]
) -> Paired | None:
    """Pair two documents' predictions, if both have some."""
    if before is None or now.predictions is None or before.predictions is None:
        return None
    return pair(
        Answered(now.predictions, classes, now.errors, getattr(now, "texts", {})),
        Answered(before.predictions, old_classes, before.errors, getattr(before, "texts", {})),
    )


def shrunk(told: Compression, classes: list[str]) -> Shrunk:
    """Put a compressed model beside the original."""
    small, large = (msgspec.to_builtins(measured) for measured in (told.compressed, told.original))
    known = {name: {"accuracy": interval} for name, interval in told.intervals.items()}
    figures = metrics(small, large, known.get("compressed", {}), known.get("original", {}))
    paired = None
    if told.predictions is not None and told.original_predictions is not None:
        original = Answered(told.original_predictions, classes, {})
        paired = pair(Answered(told.predictions, classes, told.errors), original)
    return Shrunk(
        method=told.method,
        points_lost=told.points_lost,
        ratio=told.ratio,
        figures=figures,
        paired=paired,
        frontier=told.frontier,
    )


def read(store: ArtifactStore, artifact: Artifact, kind: type[Document]) -> Document:
    """Read what a step said about a model or about labels.

    :raises IntegrityError: it is something else.
    """
    content = store.read(artifact.digest)
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{artifact.digest} is no {kind.__name__.lower()} that can be read: {error}.") from error
