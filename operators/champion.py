"""What serves a use case now, for what is compared with it."""

from airlock.references import Artifact
from airlock.stores.artifacts import ArtifactStore


def champion(use_case: str) -> str:
    """Digest of the release manifest that serves a use case, by the verified ledger; empty when none does."""
    from airlock.governance.book import Book
    from airlock.hooks.database import DatabaseHook
    from airlock.settings import settings
    from airlock.stores.ledger import Ledger

    return Book.open(Ledger(DatabaseHook().get_conn()), settings().public_keys).last_served(use_case)


def champion_candidate(store: ArtifactStore, use_case: str) -> tuple[str, Artifact | None]:
    """Digest of the candidate manifest behind what serves, and that candidate's model; nothing when nothing serves."""
    from airlock.governance.evidence import candidate_of
    from airlock.governance.manifest import CandidateManifest, load

    digest = candidate_of(store, champion(use_case))
    return digest, load(store, digest, CandidateManifest).model if digest else None
