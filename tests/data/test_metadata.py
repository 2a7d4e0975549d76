"""What expectations and checks see of a dataset version: a column for every key of the metadata."""

from subjects import names

from airlock.data.metadata import metadata_frame


class TestMetadata:
    def table(self, **columns):
        import pyarrow as pa

        return pa.table({"sample_id": names(3)[::-1], "source": ["c", "b", "a"]} | columns)

    def test_json_becomes_columns(self):
        documents = ['{"age":3,"source":"web","ok":true}', None, '{"age":5.5,"name":"x"}']
        frame = metadata_frame(self.table(metadata=documents), {names(1)[0]: "cat"})
        assert list(frame.columns) == ["sample_id", "label", "source", "age", "name", "ok", "metadata_source"]
        assert frame["sample_id"].tolist() == names(3)
        assert frame["label"].tolist() == ["cat", None, None]
        assert frame["age"].tolist()[0::2] == [5.5, 3.0]
        assert frame["age"].dtype == float
        assert frame["metadata_source"].tolist()[2] == "web"

    def test_no_metadata_is_no_column(self):
        import pyarrow as pa

        frame = metadata_frame(self.table(metadata=pa.array([None] * 3, pa.string())), {})
        assert list(frame.columns) == ["sample_id", "label", "source"]
