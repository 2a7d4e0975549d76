"""What serves a use case now: asked of the endpoint itself, the manifest it names and the ledger."""

from statistics import median

import msgspec

from airlock.deployment.client import Prediction, predict
from airlock.digests import short
from airlock.errors import IntegrityError, UserError
from airlock.governance.ledger import verify_ledger
from airlock.governance.manifest import ReleaseManifest, load
from airlock.governance.signing import public_keys
from airlock.references import Artifact
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import open_database
from airlock.stores.deployments import Deployments
from airlock.stores.ledger import Ledger

REQUESTS = 100


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A served model and its answer to one of its package's samples.

    :param manifest: digest of the release manifest that the endpoint named in its answer.
    :param accuracy: of the served model on the test split.
    :param size: bytes of the served model.
    :param p50: median milliseconds of an answer, over HTTP.
    """

    use_case: str
    manifest: str
    endpoint: str
    prediction: Prediction
    accuracy: float
    size: int
    p50: float


def ask_served(use_case: str, settings: Settings) -> Served:
    """Ask the endpoint that serves a use case.

    :raises UserError: nothing serves it.
    :raises IntegrityError: the endpoint serves something else than what was deployed.
    """
    champion = Deployments(open_database(settings.database)).champion(use_case)
    if champion is None:
        raise UserError(f"Nothing serves {use_case}.", hint=f"Run {use_case}_data and approve its gates.")
    store = open_artifacts(settings.artifacts)
    release = load(store, champion.manifest, ReleaseManifest)
    sample = _sample(store, release.package)
    predictions = [predict(champion.endpoint, sample) for _ in range(REQUESTS)]
    if wrong := {answer.manifest for answer in predictions} - {champion.manifest}:
        raise IntegrityError(f"{champion.endpoint} serves {short(wrong.pop())}, not {short(champion.manifest)}.")
    return Served(
        use_case=use_case,
        manifest=champion.manifest,
        endpoint=champion.endpoint,
        prediction=predictions[0],
        accuracy=release.metrics["accuracy"],
        size=release.model.size,
        p50=median(answer.seconds for answer in predictions) * 1000,
    )


def ledger_holds(settings: Settings) -> bool:
    """Whether every record of the ledger verifies."""
    try:
        verify_ledger(Ledger(open_database(settings.database)).records(), public_keys(settings.public_keys))
    except IntegrityError:
        return False
    return True


def closing_line(served: Served, gates: int, ledger_ok: bool) -> str:
    """The last line of the demo."""
    return (
        f"airlock: served {served.use_case} {short(served.manifest)} accuracy={served.accuracy:.4f} "
        f"size={served.size} p50={served.p50:.2f}ms gates={gates} ledger={'ok' if ledger_ok else 'BROKEN'}"
    )


def _sample(store: ArtifactStore, package: Artifact) -> bytes:
    listing = store.listing(package)
    name = min(name for name in listing if name.startswith("samples/"))
    return store.read(str(listing[name]["digest"]))
