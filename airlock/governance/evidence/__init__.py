"""Evidence: what a person sees before deciding, as Markdown that Airflow's own page shows.

The same manifest and champion give the same text, so its digest in the decision says what was on the screen.
"""

import re
from urllib.parse import urlsplit

from airlock.errors import IntegrityError
from airlock.governance.comparison import compare
from airlock.governance.evidence.markdown import named, word
from airlock.governance.evidence.sections import SECTIONS
from airlock.governance.manifest import AnyManifest, CandidateManifest, chain
from airlock.governance.policy import GatePolicy
from airlock.settings import settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.gates import GateRequest


def evidence(store: ArtifactStore, digest: str, champion_digest: str) -> str:
    """Return the evidence about a manifest, beside a champion of the same kind.

    :param champion_digest: of the champion's manifest; empty when nothing serves the use case.
    """
    links = urlsplit(settings().airflow).path.rstrip("/")
    compared = compare(store, digest, champion_digest)
    champion = (
        f"the champion's {named(links, champion_digest)}" if champion_digest else "no champion: nothing serves yet"
    )
    heading = f"### {word(compared.use_case)}: {compared.kind} manifest {named(links, digest)}, against {champion}"
    return "\n\n".join(filter(None, [heading, *SECTIONS[compared.kind](compared, links)]))


def question(shown: str, request: GateRequest, policy: GatePolicy) -> str:
    """Return what stands on Airflow's page: the evidence, who must answer, and which request it is.

    The request's id is the digest of everything that is asked, so whoever answers is bound to what they saw.
    """
    return f"{shown}\n\n{policy.describe()}\n\nRequest `{request.id}`"


def asked_in(body: str) -> str:
    """The request's id in the last line of what :func:`question` wrote; empty for any other text."""
    found = re.search(r"\n\nRequest `([0-9a-f]{64})`\Z", body)
    return found[1] if found else ""


def champion_of(store: ArtifactStore, served: str, manifest: AnyManifest) -> str:
    """Digest of the manifest of the same kind in the chain of what serves; empty when nothing does.

    :param served: digest of the release manifest that serves the use case, by the ledger.
    """
    return _of_kind(store, served, type(manifest))


def candidate_of(store: ArtifactStore, served: str) -> str:
    """Digest of the candidate manifest in the chain of what serves; empty when nothing does."""
    return _of_kind(store, served, CandidateManifest)


def _of_kind(store: ArtifactStore, served: str, kind: type) -> str:
    try:
        found = chain(store, served).items()
    except IntegrityError:  # what cannot be read cannot be compared with, and must not keep a gate from asking
        return ""
    return next((digest for digest, other in found if type(other) is kind), "")
