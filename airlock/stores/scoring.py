"""The scoring store: every prediction of a served model, and what turned out to be true. Rows are only ever added."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from airlock.errors import UserError
from airlock.stores.database import Database

if TYPE_CHECKING:
    from psycopg2.extras import RealDictCursor

PAGE = 1_000
ADD = """
INSERT INTO airlock.prediction
    (id, use_case, manifest, time, input, outputs, label, probability, latency, status, payload)
VALUES %s ON CONFLICT DO NOTHING RETURNING id
"""
ADD_TRUTH = """
INSERT INTO airlock.prediction_truth (id, use_case, prediction, truth, time)
VALUES %s ON CONFLICT DO NOTHING RETURNING id
"""
# Of several words about a prediction the last one counts.
SELECT = """
SELECT p.id, p.use_case, p.manifest, p.time, p.input, p.outputs, p.label, p.probability, p.latency, p.status,
       p.payload, t.truth, t.time AS truth_time
FROM airlock.prediction AS p LEFT JOIN LATERAL (
    SELECT truth, time FROM airlock.prediction_truth
    WHERE prediction = p.id AND use_case = p.use_case ORDER BY time DESC, id DESC LIMIT 1
) AS t ON true
"""
WHERE = """
WHERE p.use_case = %(use_case)s AND p.time >= %(since)s AND p.time < %(until)s
    AND (%(manifest)s = '' OR p.manifest = %(manifest)s)
"""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction.

    :param manifest: digest of the release that answered.
    :param time: seconds since the epoch; likewise ``truth_time``, when the truth was told.
    :param input: digest of what the model was given.
    :param outputs: what it said, as a JSON document; ``label`` and ``probability`` of it where it has them.
    :param latency: seconds.
    :param status: of the HTTP answer.
    :param payload: digest of the kept input in the artifact store; ``None`` for most.
    :param truth: what turned out to be true; ``None`` while nobody said.
    """

    id: str
    use_case: str = ""
    manifest: str = ""
    time: float
    input: str
    outputs: Any = None
    label: str | None = None
    probability: float | None = None
    latency: float
    status: int
    payload: str | None = None
    truth: Any = None
    truth_time: float | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What turned out to be true.

    :param id: of this word: told twice, it counts once.
    """

    id: str
    prediction: str
    truth: Any
    time: float


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How often a release said a label.

    :param known: of how many the truth is known; ``right`` of how many it is this label.
    """

    manifest: str
    label: str | None
    predictions: int
    known: int
    right: int


class Scoring:
    """Predictions in a database.

    :param database: Airlock's database.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, use_case: str, manifest: str, predictions: Sequence[Scored], truths: Sequence[Told] = ()) -> int:
        """Add what is not there yet, all or nothing; return how many rows that were.

        :raises UserError: PostgreSQL cannot hold a value, for example a text with a NUL in it.
        """
        from psycopg2 import DataError
        from psycopg2.extras import Json

        rows = [
            (p.id, use_case, manifest, p.time, p.input, Json(p.outputs, _dumps), p.label, p.probability, p.latency,
             p.status, p.payload) for p in predictions
        ]  # fmt: skip
        told = [(t.id, use_case, t.prediction, Json(t.truth, _dumps), t.time) for t in truths]
        try:
            with self.database.transaction() as cursor:
                return _insert(cursor, ADD, rows) + _insert(cursor, ADD_TRUTH, told)
        except (DataError, ValueError) as error:
            raise UserError(f"A prediction of {use_case} cannot be stored: {error}", hint="Leave it out.") from error

    def predictions(
        self, use_case: str, manifest: str = "", since: float = 0.0, until: float = float("inf"), limit: int = 10_000
    ) -> list[Scored]:
        """Return predictions, newest first, each with the last word about its truth.

        :param manifest: of one release only.
        :param since: seconds since the epoch; ``until`` likewise, and not included.
        """
        with self.database.transaction() as cursor:
            cursor.execute(
                SELECT + WHERE + "ORDER BY p.time DESC, p.id LIMIT %(limit)s",
                {"use_case": use_case, "manifest": manifest, "since": since, "until": until, "limit": limit},
            )
            return [Scored(**row) for row in cursor.fetchall()]

    def counts(self, use_case: str, manifest: str = "", since: float = 0.0, until: float = float("inf")) -> list[Count]:
        """Return how often each release said each label, and how often it was right where the truth is known."""
        query = f"""
            SELECT manifest, label, count(*) AS predictions, count(truth) AS known,
                   count(*) FILTER (WHERE truth = to_jsonb(label)) AS right
            FROM ({SELECT} {WHERE}) AS found GROUP BY manifest, label ORDER BY manifest, label
        """
        with self.database.transaction() as cursor:
            cursor.execute(query, {"use_case": use_case, "manifest": manifest, "since": since, "until": until})
            return [Count(**row) for row in cursor.fetchall()]


def _insert(cursor: "RealDictCursor", statement: str, rows: list[tuple[Any, ...]]) -> int:
    from psycopg2.extras import execute_values

    return len(execute_values(cursor, statement, rows, page_size=PAGE, fetch=True)) if rows else 0


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()
