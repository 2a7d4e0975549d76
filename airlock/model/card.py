"""The model card: what a model is for, what it was made from, how good it is, and what can go wrong.

Sections after Mitchell, M. et al. (2019): Model cards for model reporting. Proceedings of the Conference on Fairness,
Accountability, and Transparency, 220-229. Light to import: a use case's facts are checked when its DAG is parsed.
"""

import time
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.digests import short
from airlock.errors import UserError
from airlock.governance.evidence.markdown import code, figure
from airlock.governance.evidence.sentences import URGENT, ranged

if TYPE_CHECKING:
    from airlock.governance.decisions import Decision
    from airlock.governance.evaluations import Evaluation
    from airlock.governance.manifest import CandidateManifest, DataManifest

LONGEST = 4000
TITLES = {"macro_f1": "macro F1", "log_loss": "log loss", "brier": "Brier score", "ece": "calibration error (ECE)"}


class CardFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What only people know of a model: ``CARD`` in a use case. Texts are Markdown.

    :param intended_use: what it is made for; ``users`` by whom, ``out_of_scope`` what it must not be used for.
    :param factors: groups, instruments or surroundings on which its quality may depend.
    :param ethics: whom it may harm, and what was done about it.
    :param caveats: what else somebody who uses it must know.
    :param claims: figures that were claimed for it elsewhere, to be put beside the measured ones.
    """

    intended_use: str
    summary: str = ""
    users: str = ""
    out_of_scope: str = ""
    factors: str = ""
    ethics: str = ""
    caveats: str = ""
    licence: str = ""
    contact: str = ""
    claims: dict[str, float] = {}

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if isinstance(text := getattr(self, name), str) and len(text) > LONGEST:
                raise UserError(f"{name} is longer than {LONGEST} characters.", hint="Link to what is longer.")
        if not self.intended_use.strip():
            raise UserError("intended_use is empty.", hint="Say what the model is made for.")


def read_facts(declared: Mapping[str, Any]) -> CardFacts | None:
    """Read a use case's facts; ``None`` when it says nothing.

    :raises UserError: names the field and the rule it breaks.
    """
    if not declared:
        return None
    try:
        return msgspec.convert(dict(declared), CardFacts)
    except msgspec.ValidationError as error:
        raise UserError(
            f"The model card's facts are not valid: {error}.",
            hint='CARD is {"intended_use": "…", "out_of_scope": "…", "ethics": "…"}.',
        ) from error


def render(
    manifest: "CandidateManifest",
    evaluation: "Evaluation",
    data: "DataManifest",
    *,
    digest: str = "",
    decisions: "Sequence[Decision]" = (),
    questions: Mapping[str, str] | None = None,
) -> str:
    """Return the card as Markdown.

    :param digest: of the manifest, for whoever knows it: a card that lies in a manifest cannot name it.
    :param decisions: of the model gate, oldest first; their answers are the risk form.
    :param questions: title of each of the form's fields, by name.
    """
    from jinja2 import Environment

    template = resources.files("airlock.model").joinpath("card.md").read_text("utf-8")
    environment = Environment(autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"code": code, "figure": figure, "short": short, "day": _day, "line": _line}
    return environment.from_string(template).render(
        facts=read_facts(manifest.card_facts),
        manifest=manifest,
        evaluation=evaluation,
        data=data,
        digest=digest,
        decisions=decisions,
        questions=questions or {},
        rows=[
            (TITLES.get(name, name), ranged(value, evaluation.intervals.get(name)))
            for name, value in evaluation.all_figures.items()
        ],
        slices=sorted(evaluation.slices, key=lambda each: URGENT.index(each.verdict)),
        ranged=ranged,
        claims=_claims(manifest, evaluation),
    )


def page(card: str, title: str) -> bytes:
    """Return a card as an HTML page that needs nothing but itself; HTML in the card is shown, not obeyed."""
    from jinja2 import Environment
    from markdown_it import MarkdownIt

    template = resources.files("airlock.model").joinpath("card.html").read_text("utf-8")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    return Environment(autoescape=True).from_string(template).render(title=title, body=body).encode()


def _claims(manifest: "CandidateManifest", evaluation: "Evaluation") -> list[tuple[str, float, str, bool]]:
    """Return claimed figures beside the measured ones, and whether they lie inside the interval."""
    facts = read_facts(manifest.card_facts)
    measured = evaluation.all_figures
    return [
        (TITLES.get(name, name), claimed, ranged(measured[name], pair), pair is None or pair[0] <= claimed <= pair[1])
        for name, claimed in (facts.claims if facts else {}).items()
        if name in measured
        for pair in [evaluation.intervals.get(name)]
    ]


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _line(text: str) -> str:
    """Return a text that cannot end a table's cell."""
    return " ".join(text.replace("|", "¦").split())
