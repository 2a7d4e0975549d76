"""The comparison with the champion as the page shows it; one that cannot be made says why."""

from airlock.errors import AirlockError
from airlock.governance.comparison import Comparison, compare
from airlock.hooks.artifacts import ArtifactsHook
from airlock.stores.gates import GateRequest


def compared(asked: GateRequest) -> tuple[Comparison | None, str]:
    """Compare what a request asks about with the champion it was asked beside; with the reason when that fails."""
    try:
        return compare(ArtifactsHook().get_conn(), asked.manifest, asked.champion), ""
    except AirlockError as error:
        return None, str(error)
