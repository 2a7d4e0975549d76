"""The statements of :mod:`airlock.stores.labels`."""

# An annotator who says the same again, as a task that runs twice does, adds nothing.
RECORD = """
INSERT INTO airlock.label_answer
    (dataset, sample_id, annotator, label, origin, kind, reference, answered, lead_time, confidence, created)
SELECT %(dataset)s, new.sample_id, new.annotator, new.label, new.origin, new.kind, new.reference, new.answered,
    new.lead_time, new.confidence, %(now)s
FROM unnest(%(sample_id)s::text[], %(annotator)s::text[], %(label)s::text[], %(origin)s::text[], %(kind)s::text[],
    %(reference)s::text[], %(answered)s::double precision[], %(lead_time)s::double precision[],
    %(confidence)s::double precision[])
    WITH ORDINALITY AS new
        (sample_id, annotator, label, origin, kind, reference, answered, lead_time, confidence, place)
LEFT JOIN LATERAL (
    SELECT label FROM airlock.label_answer AS old
    WHERE old.dataset = %(dataset)s AND old.sample_id = new.sample_id AND old.annotator = new.annotator
        AND old.kind = new.kind
    ORDER BY old.id DESC LIMIT 1
) AS last ON true
WHERE last.label IS DISTINCT FROM new.label ORDER BY new.place
"""
ANSWERS = """
SELECT sample_id, annotator, label, origin, kind, reference, answered, lead_time, confidence
FROM airlock.label_answer WHERE dataset = %s
"""
# An adjudicator's last word is alone in its grade; people come before sources, unless sources vote with them.
RESOLVE = """
CREATE TEMPORARY TABLE ranked ON COMMIT DROP AS
WITH latest AS (
    SELECT DISTINCT ON (sample_id, annotator, kind) id, sample_id, annotator, label, kind
    FROM airlock.label_answer WHERE dataset = %(dataset)s ORDER BY sample_id, annotator, kind, id DESC
), graded AS (
    SELECT *, CASE kind WHEN 'adjudication' THEN 2 WHEN 'label' THEN 1 ELSE %(source_grade)s END AS grade,
        CASE kind WHEN 'adjudication' THEN id END AS word,
        coalesce((%(weights)s::jsonb ->> annotator)::double precision, 1) AS weight
    FROM latest
), best AS (
    SELECT *, max(grade) OVER sample AS highest, max(word) OVER sample AS last_word
    FROM graded WHERE grade >= 0 WINDOW sample AS (PARTITION BY sample_id)
), votes AS (
    SELECT sample_id, label, highest, sum(weight) AS weight, count(*) FILTER (WHERE kind = 'label') AS people
    FROM best WHERE grade = highest AND word IS NOT DISTINCT FROM last_word GROUP BY sample_id, label, highest
)
SELECT sample_id, label, rank() OVER (PARTITION BY sample_id ORDER BY weight DESC) AS place,
    sum(people) OVER sample AS people,
    highest = 2 OR sum(people) OVER sample = 0 OR (
        sum(people) OVER sample >= %(minimum)s AND weight >= %(agreement)s * sum(weight) OVER sample AND weight > 0
    ) AS enough
FROM votes WINDOW sample AS (PARTITION BY sample_id);
CREATE TEMPORARY TABLE resolved ON COMMIT DROP AS
SELECT sample_id, min(label) AS label FROM ranked WHERE place = 1
GROUP BY sample_id HAVING count(*) = 1 AND bool_and(enough)
"""
RESOLVED = 'SELECT * FROM resolved ORDER BY sample_id COLLATE "C"'
DISPUTED = """
SELECT DISTINCT sample_id COLLATE "C" AS sample_id FROM ranked
WHERE people > 0 AND NOT EXISTS (SELECT FROM resolved WHERE resolved.sample_id = ranked.sample_id) ORDER BY 1
"""
STORE = """
INSERT INTO airlock.label_set (digest, dataset, rows, created) VALUES (%(digest)s, %(dataset)s, %(rows)s, %(now)s)
    ON CONFLICT DO NOTHING;
INSERT INTO airlock.label_entry (digest, sample_id, label)
    SELECT %(digest)s, sample_id, label FROM resolved ON CONFLICT DO NOTHING;
INSERT INTO airlock.label_resolution (dataset, version, digest, rule, created)
    SELECT %(dataset)s, coalesce(max(version), 0) + 1, %(digest)s, %(rule)s, %(now)s
    FROM airlock.label_resolution AS old WHERE dataset = %(dataset)s
    HAVING NOT EXISTS (
        SELECT FROM airlock.label_resolution AS last WHERE last.dataset = %(dataset)s AND last.version = (
            SELECT max(version) FROM airlock.label_resolution WHERE dataset = %(dataset)s
        ) AND last.digest = %(digest)s AND last.rule = %(rule)s::jsonb
    );
SELECT max(version) AS version FROM airlock.label_resolution WHERE dataset = %(dataset)s
"""
ENTRIES = 'SELECT sample_id, label FROM airlock.label_entry WHERE digest = %s ORDER BY sample_id COLLATE "C"'
NOTE = """
INSERT INTO airlock.label_incident (key, dataset, kind, sample_id, annotator, detail, origin, body, created)
VALUES %s ON CONFLICT DO NOTHING RETURNING key
"""
INCIDENTS = """
SELECT kind, sample_id, annotator, detail, origin, body FROM airlock.label_incident WHERE dataset = %s ORDER BY number
"""
HANDED_OFF = "SELECT project FROM airlock.label_handoff WHERE name = %s AND server = %s ORDER BY number DESC"
HAND_OVER = """
INSERT INTO airlock.label_handoff (name, server, project, created) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
