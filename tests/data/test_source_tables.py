"""Tables as sources: CSV, JSON Lines, Parquet and SQL, through the ingest step."""

import gzip
import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import assert_refused, png

from airlock.data.sources import parse_source
from airlock.errors import UserError

FLOWERS = "name,width,kind,place\nf1,0.2,setosa,north\nf2,1.3,virginica,south\n"
MEANING = {"label": "kind", "group": "place", "key": "name"}


def contents(table: pa.Table) -> list[dict]:
    return [json.loads(content) for content in table["content"].to_pylist()]


class TestCsv:
    def test_a_row_is_a_sample(self, ingest, rows, tmp_path):
        (tmp_path / "flowers.csv").write_text(FLOWERS)
        result = ingest(kind="csv", location=str(tmp_path / "flowers.csv"), columns=MEANING)
        found = rows(result.outputs["samples"])
        assert contents(found) == [{"width": "0.2"}, {"width": "1.3"}]
        assert found["label"].to_pylist() == ["setosa", "virginica"]
        assert found["group"].to_pylist() == ["north", "south"]
        assert found["source"].to_pylist()[0].endswith("flowers.csv#f1")
        assert set(found["origin"].to_pylist()) == {"column kind"}

    @pytest.mark.parametrize("pack", [gzip.compress, lambda data: b"\xef\xbb\xbf" + data])
    def test_packed_or_with_a_byte_order_mark(self, ingest, rows, tmp_path, pack):
        (tmp_path / "flowers.csv").write_bytes(pack(FLOWERS.encode()))
        result = ingest(kind="csv", location=str(tmp_path / "flowers.csv"), columns=MEANING)
        assert result.outputs["rows"] == 2

    def test_delimiter_encoding_and_metadata(self, ingest, rows, tmp_path):
        (tmp_path / "t.csv").write_bytes('text;site\r\n"Tür; ""auf"" \nzu";Köln\r\n'.encode("latin-1"))
        columns = {"content": "text", "metadata": ["site"]}
        source = {"location": str(tmp_path / "t.csv"), "delimiter": ";", "encoding": "latin-1", "columns": columns}
        found = rows(ingest(kind="csv", **source).outputs["samples"]).to_pylist()[0]
        assert found["content"].decode() == 'Tür; "auf" \nzu'
        assert json.loads(found["metadata"]) == {"site": "Köln"}

    def test_a_column_names_files(self, ingest, rows, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "images" / "1.png").write_bytes(png(1))
        (tmp_path / "t.csv").write_text("path,kind\nimages/1.png,cat\n")
        columns = {"file": "path", "label": "kind"}
        found = rows(ingest(kind="csv", location=str(tmp_path / "t.csv"), columns=columns).outputs["samples"])
        assert (found["content"].to_pylist(), found["label"].to_pylist()) == ([png(1)], ["cat"])

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (b"a,b\n1,2\n3\n", ("line 3", "1 values", "header 2", "quotes")),
            (b"a,b\n1,2,3\n", ("line 2", "3 values", "header 2")),
            (b'a,b\n1,"2\n', ("no valid CSV", "line 2", "quotes and delimiter")),
            (b"a,a\n1,2\n", ("column 'a' twice", "once")),
            (b"a,b\n1,\xff\n", ("not utf-8 at line 2", "0xff", "position 3", "iconv")),
            ("a,b\n1,ä\n".encode() + "2,ä\n".encode("latin-1"), ("not utf-8 at line 3", "0xe4", "mixed encodings")),
            (b"", ("empty", "no sample")),
            (b"a,b\n", ("empty", "no sample")),
            (gzip.compress(b"a,b\n1,2\n" * 500, mtime=0)[:-20], ("damaged or cut short", "Fetch the file again")),
        ],
    )
    def test_broken(self, ingest, tmp_path, text, parts):
        (tmp_path / "t.csv").write_bytes(text)
        result = ingest(kind="csv", location=str(tmp_path / "t.csv"))
        assert_refused(result, "SourceError", *([] if "empty" in parts else ["t.csv"]), *parts)

    @pytest.mark.parametrize(
        ("columns", "parts"),
        [
            ({"label": "colour"}, ("no column 'colour'", "it has name, width, kind, place")),
            ({"key": "place"}, ("place 'north' twice", "rows 2 and 4")),
            ({"file": "name"}, ("names the file 'f1'", "cannot be read", "Paths are relative to")),
            ({"file": "place"}, ("names the file 'north'", "cannot be read")),
        ],
    )
    def test_columns_that_do_not_fit(self, ingest, tmp_path, columns, parts):
        (tmp_path / "t.csv").write_text(FLOWERS + "f3,1,x,north\n")
        result = ingest(kind="csv", location=str(tmp_path / "t.csv"), columns=columns)
        assert_refused(result, "SourceError", "t.csv", *parts)

    def test_a_file_outside_the_tables_folder(self, ingest, tmp_path):
        (tmp_path / "t.csv").write_text("path\n../../etc/passwd\n")
        result = ingest(kind="csv", location=str(tmp_path / "t.csv"), columns={"file": "path"})
        assert_refused(result, "SourceError", "../../etc/passwd", "not below the table's folder", "without '..'")

    def test_a_bomb(self, ingest, tmp_path):
        (tmp_path / "t.csv").write_bytes(gzip.compress(b"a\n" + b"1\n" * 1_000_000, mtime=0))
        result = ingest(kind="csv", location=str(tmp_path / "t.csv"), max_bytes=1_000_000)
        assert_refused(result, "SourceError", "t.csv", "unpacks to more than 1,000,000 bytes", "max_bytes")

    @pytest.mark.parametrize(
        "keys", [{"delimiter": "::"}, {"encoding": "utf-16"}, {"columns": {"content": "a", "file": "b"}}]
    )
    def test_declared_wrong(self, keys):
        with pytest.raises(UserError, match="not valid"):
            parse_source({"kind": "csv", "location": "/x.csv", **keys})


class TestJsonl:
    def test_a_line_is_a_sample(self, ingest, rows, tmp_path):
        lines = [{"text": "ä", "kind": "x", "at": {"n": 1}}, {"text": "b", "kind": None, "at": {"n": 2}}]
        (tmp_path / "t.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
        columns = {"content": "text", "label": "kind", "metadata": ["at"]}
        found = rows(ingest(kind="jsonl", location=str(tmp_path / "t.jsonl"), columns=columns).outputs["samples"])
        assert found["content"].to_pylist() == ["ä".encode(), b"b"]
        assert found["label"].to_pylist() == ["x", None]
        assert json.loads(found["metadata"][0].as_py()) == {"at": '{"n":1}'}

    def test_nan_and_infinities_keep_their_names(self, ingest, rows, tmp_path):
        (tmp_path / "t.jsonl").write_text('{"a": NaN, "b": -Infinity, "c": 1e999}\n')
        found = rows(ingest(kind="jsonl", location=str(tmp_path / "t.jsonl")).outputs["samples"])
        assert contents(found) == [{"a": "NaN", "b": "-Infinity", "c": "Infinity"}]

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (b'{"a": 1}\n{"a": 1, "a": 2}\n', ("line 2", "key 'a' is there twice")),
            (b'{"a": {"b": 1, "b": 2}}\n', ("line 1", "key 'b' is there twice")),
            (b'{"a": 1}\n{"a": \n', ("not valid at line 2", "one object")),
            (b"[1, 2]\n", ("no object at line 1",)),
            (b'{"a": "\xff"}\n', ("not UTF-8 at line 1", "0xff", "iconv")),
            (b"[" * 100_000 + b"\n", ("nests too deeply at line 1",)),
            (b"<html>", ("not valid at line 1",)),
        ],
    )
    def test_broken(self, ingest, tmp_path, text, parts):
        (tmp_path / "t.jsonl").write_bytes(text)
        assert_refused(ingest(kind="jsonl", location=str(tmp_path / "t.jsonl")), "SourceError", "t.jsonl", *parts)

    def test_a_row_that_lacks_a_column(self, ingest, tmp_path):
        (tmp_path / "t.jsonl").write_text('{"a": 1, "kind": "x"}\n{"a": 2}\n')
        result = ingest(kind="jsonl", location=str(tmp_path / "t.jsonl"), columns={"label": "kind"})
        assert_refused(result, "SourceError", "t.jsonl", "no column 'kind' in row 2", "it has a")

    def test_a_key_twice(self, ingest, tmp_path):
        (tmp_path / "t.jsonl").write_text('{"id": 1, "a": 1}\n{"id": 1, "a": 2}\n')
        result = ingest(kind="jsonl", location=str(tmp_path / "t.jsonl"), columns={"key": "id"})
        assert_refused(result, "SourceError", "id 1 twice", "rows 1 and 2", "names a row once")


class TestParquet:
    def test_values_of_every_type(self, ingest, rows, tmp_path):
        row = {
            "f": float("nan"),
            "d": Decimal("1.10"),
            "t": datetime(2026, 1, 2, 3, tzinfo=UTC),
            "b": b"\x00\xff",
            "l": [1, None],
        }
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
        found = contents(rows(ingest(kind="parquet", location=str(tmp_path / "t.parquet")).outputs["samples"]))
        assert found == [{"f": "NaN", "d": "1.10", "t": "2026-01-02T03:00:00+00:00", "b": "AP8=", "l": [1, None]}]

    def test_a_column_of_bytes(self, ingest, rows, tmp_path):
        table = pa.table({"image": [png(1), png(2)], "kind": ["cat", "dog"]})
        pq.write_table(table, tmp_path / "t.parquet")
        columns = {"content": "image", "label": "kind"}
        found = rows(ingest(kind="parquet", location=str(tmp_path / "t.parquet"), columns=columns).outputs["samples"])
        assert found["content"].to_pylist() == [png(1), png(2)]

    @pytest.mark.parametrize("keep", [0, 4, 100, -10])
    def test_damaged(self, ingest, tmp_path, keep):
        pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "t.parquet")
        (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:keep])
        result = ingest(kind="parquet", location=str(tmp_path / "t.parquet"))
        assert_refused(result, "SourceError", "t.parquet", "no Parquet file, or is damaged", "Fetch it again")


class TestSql:
    @pytest.fixture
    def warehouse(self, tmp_path):
        with sqlite3.connect(tmp_path / "w.db") as link:
            link.execute("CREATE TABLE flower (id integer, width real, kind text, photo blob)")
            link.executemany("INSERT INTO flower VALUES (?, ?, ?, ?)", [(1, 0.5, "a", png(1)), (2, 0.7, "b", png(2))])
        return f"sqlite:///{tmp_path / 'w.db'}"

    def test_a_row_is_a_sample(self, ingest, rows, warehouse):
        query = "SELECT id, width, kind FROM flower WHERE width > :least ORDER BY id"
        columns = {"key": "id", "label": "kind"}
        result = ingest(kind="sql", location=warehouse, query=query, parameters={"least": 0.6}, columns=columns)
        assert contents(rows(result.outputs["samples"])) == [{"width": 0.7}]

    def test_a_blob_column_is_the_content(self, ingest, rows, warehouse):
        columns = {"content": "photo", "label": "kind"}
        result = ingest(kind="sql", location=warehouse, query="SELECT photo, kind FROM flower", columns=columns)
        assert rows(result.outputs["samples"])["content"].to_pylist() == [png(1), png(2)]

    def test_the_fingerprint_is_new_unless_a_query_gives_it(self, warehouse):
        source = {"kind": "sql", "location": warehouse, "query": "SELECT * FROM flower"}
        assert parse_source(source).fingerprint() != parse_source(source).fingerprint()
        marked = parse_source(source | {"fingerprint_query": "SELECT max(id) FROM flower"})
        assert marked.fingerprint() == marked.fingerprint()

    @pytest.mark.parametrize(
        ("query", "parts"),
        [
            ("SELECT * FROM tree", ("refuses the query", "no such table: tree", "Correct the source's query")),
            ("SELEKT 1", ("refuses the query", "syntax error")),
            ("SELECT id, width AS id FROM flower", ("column 'id' twice", "AS")),
            ("SELECT * FROM flower WHERE id > 9", ("empty", "no sample")),
        ],
    )
    def test_query_that_gives_nothing_usable(self, ingest, warehouse, query, parts):
        assert_refused(ingest(kind="sql", location=warehouse, query=query), "SourceError", *parts)

    def test_more_rows_than_allowed(self, ingest, warehouse):
        result = ingest(kind="sql", location=warehouse, query="SELECT id FROM flower", max_rows=1)
        assert_refused(result, "SourceError", "more than max_rows=1 rows", "Narrow the query")

    def test_database_that_does_not_exist(self, ingest, tmp_path):
        result = ingest(kind="sql", location=f"sqlite:///{tmp_path / 'no.db'}", query="SELECT 1")
        assert_refused(result, "SourceError", "no.db", "does not exist")

    def test_server_that_is_away(self, ingest, free_port):
        location = f"postgresql+psycopg://reader@127.0.0.1:{free_port}/sales"
        result = ingest(kind="sql", location=location, query="SELECT 1")
        assert_refused(
            result,
            "InfrastructureError",
            str(free_port),
            "does not answer",
            "run the task again",
            category="infrastructure",
        )

    def test_a_password_belongs_into_the_environment(self):
        with pytest.raises(UserError, match="password_env") as caught:
            parse_source({"kind": "sql", "location": "postgresql://me:hunter2@host/db", "query": "SELECT 1"})
        assert "hunter2" not in str(caught.value)

    def test_a_password_that_is_not_set(self, ingest):
        source = {
            "location": "postgresql+psycopg://me@host/db",
            "query": "SELECT 1",
            "password_env": "NO_SUCH_PASSWORD",
        }
        assert_refused(ingest(kind="sql", **source), "UserError", "NO_SUCH_PASSWORD", "not set", "never belongs")

    def test_postgresql_is_only_read(self, ingest, rows, postgres, monkeypatch):
        monkeypatch.setenv("WAREHOUSE_PASSWORD", "test")
        source = {
            "location": f"postgresql+psycopg://airlock_owner@127.0.0.1:{postgres.port}/postgres",
            "password_env": "WAREHOUSE_PASSWORD",
        }
        query = "SELECT number, number % 2 AS kind FROM generate_series(1, 2500) AS number ORDER BY number"
        result = ingest(kind="sql", **source, query=query, columns={"label": "kind"})
        assert result.outputs["rows"] == 2500
        refused = ingest(kind="sql", **source, query="SELECT lo_create(0)")
        assert_refused(refused, "SourceError", "read-only transaction")
