"""Labels: every annotator's answer is kept; a label set is what they were resolved to, once and for good."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airlock.digests import PREFIX, canonical, digest_document, short
from airlock.errors import IntegrityError, UserError
from airlock.references import DatasetVersion, LabelSet
from airlock.stores import label_queries as sql
from airlock.stores.database import Database, one

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

CHUNK = 10_000
Kind = Literal["source", "label", "adjudication"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one annotator says about one sample.

    :param annotator: a person, or the name of a source that came with labels.
    :param origin: where the answer is from, for example a file or a labelling project.
    :param kind: ``source`` came with the sample, ``label`` is a labeler's, ``adjudication`` settles a dispute.
    :param reference: what the answer is called where it is from.
    :param answered: when, in seconds since the epoch.
    :param lead_time: seconds the annotator took.
    :param confidence: the annotator's own, 0 to 1.
    """

    sample_id: str
    annotator: str
    label: str
    origin: str = ""
    kind: Kind = "source"
    reference: str = ""
    answered: float | None = None
    lead_time: float | None = None
    confidence: float | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Something about labels that is no usable answer, kept as it came.

    :param kind: for example ``unknown_label`` or ``skipped``.
    :param body: the original, JSON.
    """

    kind: str
    sample_id: str = ""
    annotator: str = ""
    detail: str = ""
    origin: str = ""
    body: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers become one label. What an adjudicator said last wins in any case.

    :param consensus: ``majority`` takes the label with the most votes, ``weighted`` counts each vote by its
        annotator's weight, ``unanimous`` takes only what nobody contradicts. A tie resolves to none.
    :param weights: annotator to weight, for ``weighted``; 1 for who is not named.
    :param minimum: answers of people that a sample needs once somebody was asked about it.
    :param agreement: least share of the votes for the winning label, 0 to 1.
    :param sources: labels that came with the samples ``vote`` like a person, count as ``fallback`` where no person
        answered, or are ``ignored``.
    """

    consensus: Literal["majority", "weighted", "unanimous"] = "majority"
    weights: dict[str, float] = {}
    minimum: int = 1
    agreement: float = 0.0
    sources: Literal["vote", "fallback", "ignored"] = "vote"

    def __post_init__(self) -> None:
        if not 0 <= self.agreement <= 1 or self.minimum < 1:
            raise UserError(
                f"An agreement of {self.agreement:g} with {self.minimum} answers is no rule.",
                hint="Give a share from 0 to 1, and 1 answer or more.",
            )
        if any(not 0 <= weight < float("inf") for weight in self.weights.values()):
            raise UserError("A weight is negative or infinite.", hint="Give each annotator a weight of 0 or more.")

    @property
    def values(self) -> dict[str, Any]:
        """What the queries are given."""
        return {
            "weights": msgspec.json.encode(self.weights if self.consensus == "weighted" else {}).decode(),
            "minimum": self.minimum,
            "agreement": 1.0 if self.consensus == "unanimous" else self.agreement,
            "source_grade": {"vote": 1, "fallback": 0, "ignored": -1}[self.sources],
        }


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What answers came to.

    :param version: number of this resolution of the dataset version; the same labels by the same rule keep it.
    :param disputed: samples that people answered and that have no label: tied, too few, or below the agreement.
    """

    labels: LabelSet
    version: int
    disputed: tuple[str, ...]


class LabelStore:
    """Answers and label sets in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def record(self, dataset_digest: str, answers: Iterable[Answer]) -> int:
        """Keep answers about the samples of a dataset version; return how many say something new.

        Nothing is overwritten: an annotator who changes their mind adds an answer.
        """
        rest, count = iter(answers), 0
        with self.database.transaction() as cursor:
            _lock(cursor, dataset_digest)  # two tasks that record the same at once must not both find it new
            while chunk := list(islice(rest, CHUNK)):
                columns = {name: [getattr(answer, name) for answer in chunk] for name in Answer.__struct_fields__}
                cursor.execute(sql.RECORD, columns | {"dataset": dataset_digest, "now": time.time()})
                count += cursor.rowcount
        return count

    def note(self, dataset_digest: str, incidents: Iterable[Incident]) -> int:
        """Keep what is no usable answer, each once; return how many are new."""
        from psycopg2.extras import execute_values

        now = time.time()
        rows = []
        for item in incidents:
            plain = msgspec.to_builtins(item)
            key = digest_document({"dataset": dataset_digest, **plain})
            rows.append((key, dataset_digest, *plain.values(), now))
        with self.database.transaction() as cursor:
            found = execute_values(cursor, sql.NOTE, rows, page_size=1000, fetch=True) if rows else []
        return len(found)

    def incidents(self, dataset_digest: str) -> list[Incident]:
        """Return everything ever noted about a dataset version's labels, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(sql.INCIDENTS, (dataset_digest,))
            return [Incident(**row) for row in cursor.fetchall()]

    def answers(self, dataset_digest: str, sample_id: str) -> list[Answer]:
        """Return everything ever said about a sample, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(f"{sql.ANSWERS} AND sample_id = %s ORDER BY id", (dataset_digest, sample_id))
            return [Answer(**row) for row in cursor.fetchall()]

    def all_answers(self, dataset_digest: str) -> list[Answer]:
        """Return everything ever said about a dataset version's samples, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(f"{sql.ANSWERS} ORDER BY id", (dataset_digest,))
            return [Answer(**row) for row in cursor.fetchall()]

    def latest(self, dataset_digest: str) -> list[Answer]:
        """Return what every annotator said last about each sample, in each kind."""
        last = {(item.sample_id, item.annotator, item.kind): item for item in self.all_answers(dataset_digest)}
        return list(last.values())

    def annotators(self, dataset_digest: str) -> list[str]:
        """Return everybody who ever labelled a sample of a dataset version, and every source that came with labels."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT DISTINCT annotator FROM airlock.label_answer WHERE dataset = %s ORDER BY annotator",
                (dataset_digest,),
            )
            return [str(row["annotator"]) for row in cursor.fetchall()]

    def people(self, dataset_digest: str) -> list[str]:
        """Return the annotators under every name by which four eyes may know them.

        Label Studio knows e-mail addresses, Airflow user names: of ``lena@example.org``, ``lena`` is kept out too.
        """
        names = self.annotators(dataset_digest)
        return sorted({*names, *(name.partition("@")[0] for name in names)})

    def resolve(self, dataset: DatasetVersion, rule: Rule = Rule()) -> LabelSet:  # noqa: B008 - it is frozen
        """Make a label set of the answers so far: by default the label that most annotators gave last.

        A sample whose annotators are evenly split is left out.
        """
        return self.decide(dataset, rule).labels

    def decide(self, dataset: DatasetVersion, rule: Rule) -> Resolution:
        """Make a label set of the answers so far, by a rule, and say what is disputed."""
        with self.database.transaction() as cursor:
            _lock(cursor, dataset.digest)
            cursor.execute(sql.RESOLVE, rule.values | {"dataset": dataset.digest})
            sha, rows = _Sha(), 0
            for sample_id, label in _stream(cursor, sql.RESOLVED):
                sha.add(sample_id, label)
                rows += 1
            labels = LabelSet(digest=sha.digest, dataset=dataset.digest, rows=rows)
            stated = canonical(msgspec.to_builtins(rule)).decode()
            values = {"digest": labels.digest, "dataset": labels.dataset, "rows": rows, "rule": stated}
            cursor.execute(sql.STORE, values | {"now": time.time()})
            version = int(one(cursor)["version"])
            cursor.execute(sql.DISPUTED)
            disputed = tuple(str(row["sample_id"]) for row in cursor.fetchall())
        return Resolution(labels=labels, version=version, disputed=disputed)

    def newest(self, dataset_digest: str) -> LabelSet | None:
        """Return the label set that a dataset version was given last, ``None`` when it has none."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT digest, dataset, rows FROM airlock.label_set WHERE dataset = %s ORDER BY created DESC LIMIT 1",
                (dataset_digest,),
            )
            row = cursor.fetchone()
        return LabelSet(**row) if row else None

    def handed_off(self, name: str, server: str) -> list[int]:
        """Return the projects that were made for a hand-off on a server, the newest first."""
        with self.database.transaction() as cursor:
            cursor.execute(sql.HANDED_OFF, (name, server))
            return [int(row["project"]) for row in cursor.fetchall()]

    def hand_over(self, name: str, server: str, project: int) -> None:
        """Keep which project was made for a hand-off."""
        with self.database.transaction() as cursor:
            cursor.execute(sql.HAND_OVER, (name, server, project, time.time()))

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Let nobody else work on the hand-off of this name at the same time."""
        with self.database.transaction() as cursor:
            _lock(cursor, name)
            yield

    def read(self, labels: LabelSet) -> dict[str, str]:
        """Return sample id to label, verified.

        :raises IntegrityError: the label set is missing or altered.
        """
        return dict(self._verified(labels))

    def verify(self, labels: LabelSet) -> None:
        """Hash every label of a set.

        :raises IntegrityError: it is missing or altered.
        """
        for _ in self._verified(labels):
            pass

    def _verified(self, labels: LabelSet) -> Iterator[tuple[str, str]]:
        with self.database.transaction() as cursor:
            key = (labels.digest, labels.dataset)
            cursor.execute("SELECT count(*) AS sets FROM airlock.label_set WHERE digest = %s AND dataset = %s", key)
            if not one(cursor)["sets"]:
                raise IntegrityError(f"Label set {short(labels.digest)} is not in the store.", hint=HINT)
            sha = _Sha()
            for sample_id, label in _stream(cursor, sql.ENTRIES, labels.digest):
                sha.add(sample_id, label)
                yield sample_id, label
        if sha.digest != labels.digest:
            raise IntegrityError(
                f"Label set {short(labels.digest)} was altered: its labels hash to {short(sha.digest)}.", hint=HINT
            )


HINT = "Resolve the labels again with cache=False."


class _Sha:
    """Digest of (sample id, label) pairs that come sorted by sample id."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def add(self, sample_id: str, label: str) -> None:
        self._sha.update(msgspec.json.encode((sample_id, label)) + b"\n")

    @property
    def digest(self) -> str:
        return PREFIX + self._sha.hexdigest()


def _lock(cursor: "RealDictCursor", name: str) -> None:
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (name,))


def _stream(cursor: "RealDictCursor", query: str, *values: str) -> Iterator[tuple[str, str]]:
    """Yield rows without holding them all: a server-side cursor in the same transaction."""
    from psycopg2.extensions import cursor as tuples

    with cursor.connection.cursor(name="rows", cursor_factory=tuples) as rows:
        rows.itersize = CHUNK
        rows.execute(query, values)
        yield from rows
