"""Labels: every annotator's answer is kept; a label set is what they were resolved to, once and for good."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from airlock.digests import PREFIX, short
from airlock.errors import IntegrityError
from airlock.references import DatasetVersion, LabelSet
from airlock.stores.database import Database, one

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

CHUNK = 10_000

# An annotator who says the same again, as a task that runs twice does, adds nothing.
RECORD = """
INSERT INTO airlock.label_answer (dataset, sample_id, annotator, label, origin, created)
SELECT %(dataset)s, new.sample_id, new.annotator, new.label, new.origin, %(now)s
FROM unnest(%(sample_id)s::text[], %(annotator)s::text[], %(label)s::text[], %(origin)s::text[])
    WITH ORDINALITY AS new (sample_id, annotator, label, origin, place)
LEFT JOIN LATERAL (
    SELECT label FROM airlock.label_answer AS old
    WHERE old.dataset = %(dataset)s AND old.sample_id = new.sample_id AND old.annotator = new.annotator
    ORDER BY old.id DESC LIMIT 1
) AS last ON true
WHERE last.label IS DISTINCT FROM new.label ORDER BY new.place
"""
# The label most annotators gave last; a tie resolves to none.
RESOLVE = """
CREATE TEMPORARY TABLE resolved ON COMMIT DROP AS
WITH latest AS (
    SELECT DISTINCT ON (sample_id, annotator) sample_id, annotator, label
    FROM airlock.label_answer WHERE dataset = %s ORDER BY sample_id, annotator, id DESC
), ranked AS (
    SELECT sample_id, label, rank() OVER (PARTITION BY sample_id ORDER BY count(*) DESC) AS place
    FROM latest GROUP BY sample_id, label
)
SELECT sample_id, min(label) AS label FROM ranked WHERE place = 1 GROUP BY sample_id HAVING count(*) = 1
"""
STORE = """
INSERT INTO airlock.label_set (digest, dataset, rows, created) VALUES (%(digest)s, %(dataset)s, %(rows)s, %(now)s)
    ON CONFLICT DO NOTHING;
INSERT INTO airlock.label_entry (digest, sample_id, label)
    SELECT %(digest)s, sample_id, label FROM resolved ON CONFLICT DO NOTHING
"""
ENTRIES = 'SELECT sample_id, label FROM airlock.label_entry WHERE digest = %s ORDER BY sample_id COLLATE "C"'


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one annotator says about one sample.

    :param annotator: a person, or the name of a source that came with labels.
    :param origin: where the answer is from, for example a file or a labelling project.
    """

    sample_id: str
    annotator: str
    label: str
    origin: str = ""


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
            # Two tasks that record the same at once must not both find it new.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (dataset_digest,))
            while chunk := list(islice(rest, CHUNK)):
                columns = {name: [getattr(answer, name) for answer in chunk] for name in Answer.__struct_fields__}
                cursor.execute(RECORD, columns | {"dataset": dataset_digest, "now": time.time()})
                count += cursor.rowcount
        return count

    def answers(self, dataset_digest: str, sample_id: str) -> list[Answer]:
        """Return everything ever said about a sample, oldest first."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT sample_id, annotator, label, origin FROM airlock.label_answer"
                " WHERE dataset = %s AND sample_id = %s ORDER BY id",
                (dataset_digest, sample_id),
            )
            return [Answer(**row) for row in cursor.fetchall()]

    def annotators(self, dataset_digest: str) -> list[str]:
        """Return everybody who ever labelled a sample of a dataset version, and every source that came with labels."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT DISTINCT annotator FROM airlock.label_answer WHERE dataset = %s ORDER BY annotator",
                (dataset_digest,),
            )
            return [str(row["annotator"]) for row in cursor.fetchall()]

    def resolve(self, dataset: DatasetVersion) -> LabelSet:
        """Make a label set of the answers so far: the label that most annotators gave last.

        A sample whose annotators are evenly split is left out.
        """
        with self.database.transaction() as cursor:
            cursor.execute(RESOLVE, (dataset.digest,))
            sha, rows = _Sha(), 0
            for sample_id, label in _stream(cursor, 'SELECT * FROM resolved ORDER BY sample_id COLLATE "C"'):
                sha.add(sample_id, label)
                rows += 1
            labels = LabelSet(digest=sha.digest, dataset=dataset.digest, rows=rows)
            cursor.execute(STORE, msgspec.structs.asdict(labels) | {"now": time.time()})
        return labels

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
            for sample_id, label in _stream(cursor, ENTRIES, labels.digest):
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


def _stream(cursor: "RealDictCursor", query: str, *values: str) -> Iterator[tuple[str, str]]:
    """Yield rows without holding them all: a server-side cursor in the same transaction."""
    from psycopg2.extensions import cursor as tuples

    with cursor.connection.cursor(name="rows", cursor_factory=tuples) as rows:
        rows.itersize = CHUNK
        rows.execute(query, values)
        yield from rows
