"""Sources of other packages, by entry point: a kind of one's own is declared like any other."""

import sys
from pathlib import Path

import pytest

from airlock.data.sources import parse_source
from airlock.errors import UserError

MODULE = """
from contextlib import contextmanager
import msgspec
from airlock.data.samples import Sample

class Echo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="echo"):
    words: tuple[str, ...]

    @contextmanager
    def open(self, workdir, report):
        yield [Sample(source=str(index), content=word.encode()) for index, word in enumerate(self.words)]

    def fingerprint(self):
        return " ".join(self.words)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with a source kind ``echo``."""
    (tmp_path / "site" / "echo_source-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "echo_source.py").write_text(MODULE)
    info = tmp_path / "site" / "echo_source-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[airlock.sources]\necho = echo_source:Echo\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    sys.modules.pop("echo_source", None)


@pytest.mark.usefixtures("installed")
class TestThirdParty:
    def test_it_is_ingested_like_any_other(self, ingest, rows):
        result = ingest(kind="echo", words=["one", "two"])
        assert rows(result.outputs["samples"])["content"].to_pylist() == [b"one", b"two"]
        assert result.outputs["provenance"]["kind"] == "echo"

    def test_its_keys_are_checked(self):
        with pytest.raises(UserError, match="colour"):
            parse_source({"kind": "echo", "words": [], "colour": "red"})
