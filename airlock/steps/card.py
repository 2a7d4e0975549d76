"""The model card of a candidate: written before the manifest, which names it, and kept beside its run."""

from typing import TYPE_CHECKING

from airlock.steps.context import StepContext

if TYPE_CHECKING:
    from airlock.governance.evaluations import Evaluation
    from airlock.governance.manifest import CandidateManifest


def carded(
    candidate: "CandidateManifest", evaluation: "Evaluation", context: StepContext
) -> "tuple[CandidateManifest, str]":
    """Write a candidate's card, store it, log it to its run and link it.

    :return: the candidate that names its card, and the card as Markdown.
    :raises UserError: what the use case says for the card is not valid.
    """
    from msgspec.structs import replace

    from airlock.governance.manifest import DataManifest, load
    from airlock.model.card import page, render
    from airlock.model.tracking import Tracking

    text = render(candidate, evaluation, load(context.artifacts, candidate.data, DataManifest))
    whole = page(text, candidate.use_case)
    shown = context.artifacts.put(whole, "text/html")
    tracked = Tracking(context.settings.tracking).open(candidate.run)
    tracked.text(text, "model_card.md")
    tracked.text(whole.decode(), "model_card.html")
    context.link("Model card", shown.digest)
    stored = context.artifacts.put(text.encode(), "text/markdown")
    return replace(candidate, card=shown, card_text=stored), text
