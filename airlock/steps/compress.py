"""Makes an approved candidate smaller in several ways, measures each on the runtime that will serve it, picks one."""

from typing import TYPE_CHECKING, Any

import msgspec

from airlock.model.compression.rule import Rule
from airlock.model.evaluation.slices import Slice
from airlock.references import Artifact
from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.evaluations import Frontier

ENVIRONMENT = (
    "ai-edge-litert",
    "keras",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pillow",
    "pyarrow",
    "pylance",
    "scikit-learn",
    "tensorflow",
    "tf2onnx",
)
SEALED = True  # it measures; what it learns from is the training split, and what it picks by the validation split
MEDIA = {"litert": "application/vnd.tflite", "onnx": "application/onnx"}


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param manifest: the candidate manifest.
    :param methods: see :func:`airlock.model.compression.chains.decode_chains`.
    :param rule: what picks one of them.
    :param slices: what is looked at apart from the whole split.
    """

    manifest: Artifact
    methods: list[Any]
    rule: Rule = Rule()
    slices: list[Slice] = []


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """:param model: the file that was picked; ``original`` the LiteRT file with float32 weights.
    :param comparison: JSON of :class:`airlock.governance.evaluations.Compression`, with all that was tried.
    :param report: the page that people read; ``picture`` the PNG in it.
    :param method: which was picked; ``engine`` the runtime of its file.
    """

    model: Artifact
    original: Artifact
    comparison: Artifact
    report: Artifact
    picture: Artifact
    method: str
    engine: str
    accuracy: float
    bytes: int


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Try every method and pick; when the rule refuses all, the report is stored and linked before the step fails."""
    from airlock.model.compression.rule import best, none_passes
    from airlock.steps.compressing import Compressing

    compressing = Compressing(inputs, context)
    rows = compressing.rows()
    choice = best(rows[1:], inputs.rule)
    frontier = compressing.frontier(rows, choice)
    report, picture = _show(frontier, compressing.title, context)
    if choice is None:
        raise none_passes(rows[1:], inputs.rule)
    path, document = compressing.chosen(choice, frontier)
    comparison = context.sealed.put(msgspec.json.encode(document), "application/json")
    smaller = document.compressed
    figures = msgspec.to_builtins(smaller) | {"points_lost": document.points_lost, "ratio": document.ratio}
    for name, value in figures.items():
        context.metric(name, value)
    return Outputs(
        model=context.artifacts.put_file(path, MEDIA[choice.engine]),
        original=context.artifacts.put_file(compressing.original, MEDIA["litert"]),
        comparison=comparison,
        report=report,
        picture=picture,
        method=choice.method,
        engine=choice.engine,
        accuracy=smaller.accuracy,
        bytes=smaller.bytes,
    )


def _show(frontier: "Frontier", title: str, context: StepContext) -> tuple[Artifact, Artifact]:
    from airlock.model.compression.picture import draw
    from airlock.model.compression.report import render

    png = draw(frontier)
    picture = context.artifacts.put(png, "image/png")
    report = context.artifacts.put(render(frontier, png, title), "text/html")
    context.link("Report", report.digest)
    context.link("Figures", context.artifacts.put(msgspec.json.encode(frontier), "application/json").digest)
    return report, picture
