"""The evidence about each kind of manifest, as paragraphs of Markdown."""

from collections.abc import Callable

from airlock.digests import short
from airlock.governance.comparison import Comparison, Metric
from airlock.governance.evaluations import Frontier, Row
from airlock.governance.evidence import sentences
from airlock.governance.evidence.markdown import code, figure, link, named, table, word
from airlock.references import DatasetVersion

TITLES = {
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
    "model_bytes": "model bytes",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "gzip_bytes": "packed bytes",
    "peak_bytes": "memory bytes",
}
MOST_ROWS = 12
PARAMETERS = 300


def data(compared: Comparison, links: str) -> list[str]:
    """Samples, labels and what was left out."""
    told = compared.data
    if told is None:
        return []
    before = told.before_counts if compared.champion else {}
    rows = [
        ["dataset version", _version(told.dataset), _version(told.before_dataset)],
        ["samples", str(told.dataset.rows), str(told.before_dataset.rows) if told.before_dataset else "–"],
        ["labelled", str(told.labels.rows), str(told.before_labels.rows) if told.before_labels else "–"],
        [
            "labels",
            code(short(told.labels.digest)),
            code(short(told.before_labels.digest)) if told.before_labels else "–",
        ],
        *(
            [f"{word(name)} samples", str(told.counts[name]), str(before.get(name, "–"))]
            for name in sorted(told.counts)
        ),
        ["dropped", str(told.dropped), "–" if told.before_dropped is None else str(told.before_dropped)],
    ]
    report, dropped, *asked = (each.artifact.digest for each in compared.links)
    return [
        sentences.data(told),
        table(["dataset", "this", "champion"], rows[:MOST_ROWS]),
        f"{told.dropped} samples were dropped: {link(links, 'reasons', dropped)}. "
        f"Every expectation holds: {link(links, 'validation report', report)}.",
        *(f"{sentences.labelled(told.labelling)} {link(links, 'Labelling report', page)}." for page in asked),
    ]


def labelling(compared: Comparison, links: str) -> list[str]:
    """What people are asked, about how much."""
    samples, config = (each.artifact.digest for each in compared.links)
    rows = [[name, code(value, PARAMETERS)] for name, value in compared.all_parameters.items()]
    return [
        table(["labelers get", "this"], rows),
        f"Exactly {link(links, 'these samples', samples)}, asked with {link(links, 'this label config', config)}.",
    ]


def candidate(compared: Comparison, links: str) -> list[str]:
    """Figures, slices, flips, weakest classes, and what it was made from."""
    pages = ", ".join(link(links, each.title, each.artifact.digest) for each in compared.links)
    return [
        *_revision(compared, links),
        _metrics("candidate", compared),
        *_slices(compared),
        sentences.flips(compared.paired),
        f"{sentences.weakest(compared.classes)} {pages}.",
        *_made(compared),
        f"Parameters: {code(_document(compared.all_parameters), PARAMETERS)}.",
        *_parent(compared, links),
    ]


def _revision(compared: Comparison, links: str) -> list[str]:
    """What a revision revises, and how equal it is."""
    if not compared.revises:
        return []
    told = sentences.revision(compared.revision) if compared.revision else "Nobody compared the two."
    heading = f"**A revision** of the candidate {named(links, compared.revises)}. {told}"
    return [heading, sentences.flips(compared.revised, "that candidate")]


def _slices(compared: Comparison) -> list[str]:
    """The slices that miss a threshold first; all of them are in the report."""
    if not compared.slices:
        return []
    order = sorted(compared.slices, key=lambda each: sentences.URGENT.index(each.verdict))
    rows = [
        [
            code(each.measured.slice),
            f"{each.measured.count:,}",
            sentences.ranged(each.measured.figures.get("accuracy"), each.measured.intervals.get("accuracy")),
            figure(each.before.figures.get("accuracy") if each.before else None),
            f"**{each.verdict}**" if each.verdict in ("missed", "warned", "empty") else each.verdict,
        ]
        for each in order[:MOST_ROWS]
    ]
    told = [code(miss, PARAMETERS) for each in order for miss in each.misses][:MOST_ROWS]
    more = [f"{len(order) - MOST_ROWS} more slices are in the report."] if len(order) > MOST_ROWS else []
    beside = "revised candidate" if compared.revises else "champion"
    shown = table(["slice", "samples", "accuracy", beside, "thresholds"], rows)
    return [shown, *([f"Missed: {'; '.join(told)}."] if told else []), *more]


def release(compared: Comparison, links: str) -> list[str]:
    """What compressing cost, the figures beside the release that serves, and the candidate it is made from."""
    told = compared.compression
    if told is None:
        return []
    figures, _ = (each.artifact.digest for each in compared.links)
    rows = [[_title(each), _figure(each), sentences.ranged(each.before, each.before_interval)] for each in told.figures]
    return [
        f"Compressed by {code(told.method)}: {told.points_lost:.2f} points of accuracy lost, "
        f"{told.ratio:.2f} of the size. {link(links, 'Figures', figures)}.",
        table(["compressed", "this", "original"], rows),
        sentences.flips(told.paired, "the original"),
        *(_tried(told.frontier) if told.frontier else []),
        _metrics("release", compared) if compared.champion else "",
        sentences.flips(compared.paired),
        *(_made(compared.parent) if compared.parent else []),
        *_parent(compared, links),
    ]


def _tried(frontier: Frontier) -> list[str]:
    """Every way to compress, the original first; the slices of each are in the compression's report."""
    original, *_ = frontier.rows
    rows = [_way(row, original) for row in frontier.rows]
    head = ["way", "verdict", "of the size", "packed bytes", "accuracy", "worst slice", "p50 ms", "p99 ms"]
    rule = (
        f"The rule picks {code(frontier.rule, PARAMETERS)}, on validation samples; these figures are of test samples."
    )
    return [rule, table(head, rows)]


def _way(row: Row, original: Row) -> list[str]:
    if row.measured is None or original.measured is None:
        return [code(row.method), f"failed: {code(row.failed, PARAMETERS)}", *["–"] * 6]
    worst = max(row.test[1:], key=lambda each: each.points_lost, default=None)
    verdict = "original" if row is original else "**picked**" if row.picked else "passes"
    return [
        code(row.method),
        f"too much lost: {code('; '.join(row.misses), PARAMETERS)}" if row.misses else verdict,
        f"{row.measured.bytes / original.measured.bytes:.3f}",
        figure(row.measured.gzip_bytes),
        sentences.ranged(row.measured.accuracy, row.test[0].interval),
        f"{code(worst.slice)} {-worst.points_lost:+.2f} points" if worst else "–",
        figure(row.measured.p50_ms),
        figure(row.measured.p99_ms),
    ]


def _made(compared: Comparison) -> list[str]:
    """What differs in how a candidate was made, one paragraph."""
    if not compared.champion:
        return []
    told = [
        sentences.changed("Parameters", compared.parameters) or "Same parameters as the champion.",
        sentences.changed("Code", compared.code, short_values=True) or "Same code.",
        sentences.changed("Environment", compared.environment),
        sentences.data(compared.parent.data) if compared.parent and compared.parent.data else "",
    ]
    return [" ".join(filter(None, told))]


def _parent(compared: Comparison, links: str) -> list[str]:
    made = []
    above = compared.parent
    while above is not None:
        version = f" ({_version(above.data.dataset)})" if above.data else ""
        revised = f", a revision of {named(links, above.revises)}" if above.revises else ""
        made.append(f"{above.kind} {named(links, above.manifest)}{version}{revised}")
        above = above.parent
    return [f"Made from {', from '.join(made)}."] if made else []


def _metrics(title: str, compared: Comparison) -> str:
    head = [title, "this", "champion", "difference"] if compared.champion else [title, "this", "champion"]
    rows = [
        [_title(each), _figure(each), sentences.ranged(each.before, each.before_interval), figure(each.difference, "+")]
        for each in compared.metrics[:MOST_ROWS]
    ]
    return table(head, [row[: len(head)] for row in rows])


def _title(metric: Metric) -> str:
    return TITLES.get(metric.name) or word(metric.name)


def _figure(metric: Metric) -> str:
    return sentences.ranged(metric.now, metric.interval)


def _version(dataset: DatasetVersion | None) -> str:
    return code(f"{dataset.name} v{dataset.version} {short(dataset.digest)}") if dataset else "–"


def _document(parameters: dict[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in parameters.items()) or "none"


SECTIONS: dict[str, Callable[[Comparison, str], list[str]]] = {
    "data": data,
    "labelling": labelling,
    "candidate": candidate,
    "release": release,
}
