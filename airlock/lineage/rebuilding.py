"""Makes the index again from what it was made from: the specs and results in the artifact store."""

import msgspec

from airlock.lineage.edges import edges_of, store_edges
from airlock.settings import Settings
from airlock.stores.artifacts import ArtifactStore

BATCH = 1000


class _Asked(msgspec.Struct):
    step: str
    inputs: dict[str, msgspec.Raw]


class _Given(msgspec.Struct):
    status: str
    outputs: dict[str, msgspec.Raw]
    ended: float


def rebuild(settings: Settings, store: ArtifactStore) -> int:
    """Index every successful result that has its spec; return how many."""
    held, count = [], 0
    for name in store.documents("results"):
        path = name.removeprefix("results/").removesuffix(".json")
        asked, given = store.document(f"specs/{path}.json"), store.document(name)
        if asked is None or given is None:
            continue
        spec, result = msgspec.json.decode(asked, type=_Asked), msgspec.json.decode(given, type=_Given)
        if result.status == "succeeded":
            inputs, outputs = (_plain(values) for values in (spec.inputs, result.outputs))
            edges = edges_of(path, spec.step, inputs, outputs)
            held += [msgspec.structs.replace(edge, created=result.ended) for edge in edges]
            count += 1
        if len(held) >= BATCH:
            store_edges(settings, held)
            held = []
    if held:
        store_edges(settings, held)
    return count


def _plain(values: dict[str, msgspec.Raw]) -> dict[str, object]:
    return {name: msgspec.json.decode(value) for name, value in values.items()}
