"""Give what labelers do not agree about to one person, whose answers win and say so."""

import msgspec

from airlock.errors import UserError
from airlock.references import Artifact
from airlock.steps.context import StepContext
from airlock.steps.hand_off import GATE, deliver, open_studio
from airlock.steps.hand_off import Outputs as Outputs

ENVIRONMENT = ("label-studio-sdk", "pyarrow", "pylance")
SEALED = True  # labelers see the samples; no code of a use case runs here


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is disputed, and who settles it.

    :param handoff: of the labelling.
    :param disputed: JSON Lines, as ``pull_labels`` writes them.
    :param adjudicator: e-mail address in Label Studio of who alone settles; empty takes anybody's answers there.
    """

    handoff: Artifact
    disputed: Artifact
    adjudicator: str = ""


def run(inputs: Inputs, context: StepContext) -> Outputs:
    """Make a project of the disputed samples; none when nothing is disputed.

    :raises UserError: a sample was never released to labelers.
    :raises NotApproved: the batch was not, or no longer is.
    """
    from msgspec.structs import replace

    from airlock.governance.approval import require_approval
    from airlock.labeling.handoff import read_hand_off
    from airlock.labeling.tasks import decode_chosen
    from airlock.stores.ledger import Ledger

    asked = read_hand_off(context.artifacts.read(inputs.handoff.digest))
    require_approval(Ledger(context.database), asked.manifest, GATE, context.settings.public_keys, asked.use_case)
    disputed = {item.sample_id for item in decode_chosen(context.artifacts.read(inputs.disputed.digest))}
    released = {item.sample_id for item in decode_chosen(context.artifacts.read(asked.samples.digest))}
    if disputed - released:
        raise UserError(
            f"{len(disputed - released)} disputed samples were not handed off.", hint="Pass this hand-off's pull."
        )
    settling = replace(
        asked,
        purpose="adjudication",
        samples=inputs.disputed,
        overlap=1,
        tasks=len(disputed),
        project=0,
        adjudicator=inputs.adjudicator.lower(),
    )
    if not disputed:
        stored = context.artifacts.put(msgspec.json.encode(settling), "application/json")
        return Outputs(handoff=stored, project=0, url=settling.url, tasks=0, created=0, already=0)
    told = "People do not agree about these samples. Your answer settles it; what they said is in the task's details."
    return deliver(settling, open_studio(context), told, context)
