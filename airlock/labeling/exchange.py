"""Labels in and out: our own JSON Lines, which lose nothing, and Label Studio's JSON, for whatever reads that."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from airlock.digests import short
from airlock.errors import UserError
from airlock.labeling.config import LabelConfig
from airlock.labeling.tasks import SAMPLE_ID
from airlock.stores.labels import Answer, Incident, LabelStore

Key = tuple[str, str, str]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """First line of an export.

    :param airlock_labels: version of the format.
    :param dataset: digest of the dataset version.
    """

    airlock_labels: Literal[1] = 1
    dataset: str


class Said(Answer, frozen=True, kw_only=True, tag_field="line", tag="answer"):
    """An answer as a line."""


class Noted(Incident, frozen=True, kw_only=True, tag_field="line", tag="incident"):
    """An incident as a line."""


def export_labels(store: LabelStore, dataset: str) -> bytes:
    """Write everything ever said about a dataset version, in the order it was said, then what was noted."""
    lines: list[Any] = [Head(dataset=dataset)]
    lines += [Said(**msgspec.structs.asdict(item)) for item in store.all_answers(dataset)]
    lines += [Noted(**msgspec.structs.asdict(item)) for item in store.incidents(dataset)]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def import_labels(store: LabelStore, content: bytes) -> int:
    """Read an export; return how many answers are new. What is there already is not added again.

    :raises UserError: it is no export, or contradicts what is there.
    """
    head, *rest = content.splitlines() or [b""]
    try:
        dataset = msgspec.json.decode(head, type=Head).dataset
        decoder = msgspec.json.Decoder(Said | Noted)
        lines = [decoder.decode(line) for line in rest]
    except msgspec.MsgspecError as error:
        raise UserError(f"This is no export of labels: {error}.", hint="Export it again.") from error
    answers = [Answer(**msgspec.structs.asdict(line)) for line in lines if isinstance(line, Said)]
    new = _new(store.all_answers(dataset), answers, dataset)
    store.note(dataset, [Incident(**msgspec.structs.asdict(line)) for line in lines if isinstance(line, Noted)])
    return store.record(dataset, new)


def _new(there: list[Answer], answers: list[Answer], dataset: str) -> list[Answer]:
    """Return the answers that follow what each annotator said about a sample before."""
    before, after = _histories(there), _histories(answers)
    known = {key: len(before.get(key, [])) for key in after}
    for key, history in after.items():
        both = min(known[key], len(history))
        if before.get(key, [])[:both] != history[:both]:
            raise UserError(
                f"The export contradicts what {key[1]} said about sample {key[0][:12]} of {short(dataset)}.",
                hint="Import it into a database that does not have these labels.",
            )
    seen: dict[Key, int] = {}
    found = []
    for item in answers:
        seen[_key(item)] = seen.get(_key(item), 0) + 1
        if seen[_key(item)] > known[_key(item)]:
            found.append(item)
    return found


def _histories(answers: Iterable[Answer]) -> dict[Key, list[Answer]]:
    found: dict[Key, list[Answer]] = {}
    for item in answers:
        found.setdefault(_key(item), []).append(item)
    return found


def _key(answer: Answer) -> Key:
    return answer.sample_id, answer.annotator, answer.kind


def to_label_studio(answers: Iterable[Answer], config: LabelConfig, shown: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return tasks with annotations that a Label Studio project of this config imports.

    :param answers: one for each annotator and sample; annotators are e-mail addresses of its users.
    :param shown: what each sample looks like, by sample id.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for item in answers:
        data = {SAMPLE_ID: item.sample_id, config.field: shown[item.sample_id]}
        task = tasks.setdefault(item.sample_id, {"data": data, "annotations": []})
        made: dict[str, Any] = {"result": config.result(item.label), "completed_by": {"email": item.annotator}}
        task["annotations"].append(made | ({"lead_time": item.lead_time} if item.lead_time is not None else {}))
    return list(tasks.values())
