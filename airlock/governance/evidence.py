"""Evidence: what a person sees before deciding, as Markdown that Airflow's own page shows.

The same manifest and champion give the same text, so its digest in the decision says what was on the screen.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from airlock.digests import short
from airlock.governance.manifest import (
    AnyManifest,
    CandidateManifest,
    DataManifest,
    ReleaseManifest,
    chain,
    load_any,
)
from airlock.governance.policy import GatePolicy
from airlock.references import Artifact
from airlock.settings import settings
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import Database
from airlock.stores.deployments import Deployments
from airlock.stores.gates import GateRequest

Row = tuple[str, object, object]


def evidence(store: ArtifactStore, digest: str, champion_digest: str) -> str:
    """Return the evidence about a manifest, beside a champion of the same kind.

    :param champion_digest: of the champion's manifest; empty when nothing serves the use case.
    """
    links = urlsplit(settings().airflow).path.rstrip("/")
    manifest = load_any(store, digest)
    champion = load_any(store, champion_digest) if champion_digest else None
    heading = f"### {manifest.use_case}: manifest [`{short(digest)}`]({_url(links, digest)})"
    about = _ABOUT[type(manifest)](store, manifest, champion, links)
    return "\n\n".join([heading, *about])


def question(shown: str, request: GateRequest, policy: GatePolicy) -> str:
    """Return what stands on Airflow's page: the evidence, who must answer, and which request it is.

    The request's id is the digest of everything that is asked, so whoever answers is bound to what they saw.
    """
    return f"{shown}\n\n{policy.describe()}\n\nRequest `{request.id}`"


def asked_in(body: str) -> str:
    """The request's id in what :func:`question` wrote; empty for any other text."""
    found = re.search(r"\n\nRequest `([0-9a-f]{64})`$", body)
    return found[1] if found else ""


def champion_of(store: ArtifactStore, database: Database, manifest: AnyManifest) -> str:
    """Digest of the manifest of the same kind in the chain of what serves the use case now; empty when nothing does."""
    served = Deployments(database).champion(manifest.use_case)
    if served is None:
        return ""
    found = chain(store, served.manifest).items()
    return next((digest for digest, other in found if type(other) is type(manifest)), "")


def _data(store: ArtifactStore, manifest: DataManifest, champion: DataManifest | None, links: str) -> list[str]:
    dropped = len(store.read(manifest.dropped.digest).splitlines())
    rows: list[Row] = [
        ("dataset version", _dataset(manifest), _dataset(champion) if champion else "–"),
        ("samples", manifest.dataset.rows, champion.dataset.rows if champion else "–"),
        ("labels", short(manifest.labels.digest), short(champion.labels.digest) if champion else "–"),
        ("classes", len(manifest.classes), len(champion.classes) if champion else "–"),
    ]
    splits = sorted(manifest.counts)
    rows += [
        (f"{name} samples", manifest.counts[name], champion.counts.get(name) if champion else "–") for name in splits
    ]
    same = champion is not None and champion.dataset.digest == manifest.dataset.digest
    return [
        "The data is the same as the champion's." if same else "The data is new.",
        _table("dataset", rows),
        f"{dropped} samples were dropped: [reasons]({_url(links, manifest.dropped)}). "
        f"Every expectation holds: [validation report]({_url(links, manifest.report)}).",
    ]


def _candidate(
    store: ArtifactStore, manifest: CandidateManifest, champion: CandidateManifest | None, links: str
) -> list[str]:
    evaluation = json.loads(store.read(manifest.evaluation.digest))
    before = champion.metrics if champion else {}
    rows: list[Row] = [
        (name, _figure(value), _figure(before.get(name))) for name, value in sorted(manifest.metrics.items())
    ]
    rows += [
        ("model bytes", f"{manifest.model.size:,}", f"{champion.model.size:,}" if champion else "–"),
        ("data", short(manifest.data), short(champion.data) if champion else "–"),
        ("code", _code(manifest), _code(champion) if champion else "–"),
    ]
    worst = sorted(evaluation["per_class"].items(), key=lambda item: item[1]["recall"])[:3]
    weakest = ", ".join(f"{name} (recall {figures['recall']:.3f})" for name, figures in worst)
    changed = _changed(manifest.parameters, champion.parameters) if champion else ""
    return [
        _table("candidate", rows),
        f"Weakest classes: {weakest}. [Confusion matrix]({_url(links, manifest.picture)}).",
        f"Parameters: `{json.dumps(manifest.parameters, sort_keys=True)}`, seed {manifest.seed}. {changed}".strip(),
    ]


def _release(
    store: ArtifactStore, manifest: ReleaseManifest, champion: ReleaseManifest | None, links: str
) -> list[str]:
    comparison = json.loads(store.read(manifest.comparison.digest))
    original, compressed = comparison["original"], comparison["compressed"]
    rows: list[Row] = [(name, _figure(compressed[name]), _figure(original[name])) for name in sorted(original)]
    before = champion.metrics if champion else {}
    against: list[Row] = [
        (name, _figure(value), _figure(before.get(name))) for name, value in sorted(manifest.metrics.items())
    ]
    return [
        f"Compressed by `{comparison['method']}`: {comparison['points_lost']:.2f} points of accuracy lost, "
        f"{comparison['ratio']:.2f} of the size.",
        _table("compressed", rows, against="original"),
        _table("release", against),
        f"Made from candidate [`{short(manifest.candidate)}`]({_url(links, manifest.candidate)}); "
        f"[figures]({_url(links, manifest.comparison)}).",
    ]


_ABOUT: dict[type, Any] = {DataManifest: _data, CandidateManifest: _candidate, ReleaseManifest: _release}


def _table(title: str, rows: list[Row], against: str = "champion") -> str:
    lines = [f"| {title} | this | {against} |", "|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {this} | {that} |" for name, this, that in rows])


def _dataset(manifest: DataManifest) -> str:
    return f"{manifest.dataset.name} v{manifest.dataset.version} {short(manifest.dataset.digest)}"


def _code(manifest: CandidateManifest) -> str:
    commit = manifest.code.get("commit", "")[:12] or "not in a repository"
    return f"{commit} with uncommitted changes" if manifest.code.get("dirty") else commit


def _changed(now: dict[str, Any], before: dict[str, Any]) -> str:
    names = [name for name in sorted(now.keys() | before.keys()) if now.get(name) != before.get(name)]
    changes = ", ".join(f"{name}: {before.get(name)} → {now.get(name)}" for name in names)
    return f"Changed since the champion: {changes}." if changes else "Same parameters as the champion."


def _figure(value: object) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _url(links: str, target: str | Artifact) -> str:
    digest = target if isinstance(target, str) else target.digest
    return f"{links}/airlock/artifacts/{digest}"
