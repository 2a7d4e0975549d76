"""Which samples with which labels a data manifest stands for, so that two of them can be compared without their tables.

A gate may be asked about data while another champion serves than when the data was made, so that what changed is
found when it is shown, not when the manifest is written.
"""

from collections.abc import Mapping

import msgspec

from airlock.errors import IntegrityError
from airlock.governance.comparison.parts import Relabelled
from airlock.governance.manifest import DataManifest
from airlock.stores.artifacts import ArtifactStore

SHOWN = 100
DIGITS = 16
# Half a second for 70,000 samples, and the guard shows the same two again with every answer. Keyed by content: an entry
# is never out of date.
MOST_KNOWN = 16


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """One column each, in the order of the sample ids.

    :param rows: the first 16 hex digits of the digest of the sample's row: content and measures.
    :param labels: ``None`` where the label set has none.
    """

    samples: list[str]
    rows: list[str]
    labels: list[str | None]
    airlock_index: int = 1


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What tells two indices apart; see :class:`airlock.governance.comparison.parts.DataChanges`."""

    added: int
    removed: int
    changed: int
    relabelled: list[Relabelled]
    relabelled_count: int


_Rows = dict[str, tuple[str, str | None]]
_known: dict[tuple[str, str], Differences] = {}


def index_of(rows: Mapping[str, bytes], labels: Mapping[str, str]) -> Index:
    """Make an index.

    :param rows: digest of each row by sample id.
    """
    samples = sorted(rows)
    return Index(
        samples=samples,
        rows=[rows[sample].hex()[:DIGITS] for sample in samples],
        labels=[labels.get(sample) for sample in samples],
    )


def differences(store: ArtifactStore, now: DataManifest, before: DataManifest) -> Differences | None:
    """Compare the indices of two manifests; ``None`` when one has none."""
    if now.index is None or before.index is None:
        return None
    pair = now.index.digest, before.index.digest
    if pair not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[pair] = _between(_read(store, pair[0]), _read(store, pair[1]))
    return _known[pair]


def _between(new: _Rows, old: _Rows) -> Differences:
    shared = [sample for sample in new if sample in old]
    moved = [
        Relabelled(sample=sample, before=was, now=label)
        for sample in shared
        if (label := new[sample][1]) is not None and (was := old[sample][1]) is not None and label != was
    ]
    return Differences(
        added=len(new) - len(shared),
        removed=len(old) - len(shared),
        changed=sum(new[sample][0] != old[sample][0] for sample in shared),
        relabelled=moved[:SHOWN],
        relabelled_count=len(moved),
    )


def _read(store: ArtifactStore, digest: str) -> _Rows:
    data = store.read(digest)
    try:
        index = msgspec.json.decode(data, type=Index)
        return dict(zip(index.samples, zip(index.rows, index.labels, strict=True), strict=True))
    except (msgspec.MsgspecError, ValueError) as error:
        raise IntegrityError(f"The index {digest} of a data manifest is not valid: {error}.") from error
