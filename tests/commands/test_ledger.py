"""``airlock ledger`` and ``airlock key``."""

import json
from pathlib import Path
from typing import Any

import pytest

from airlock.digests import short
from airlock.errors import UserError
from tests.governed import Governed


@pytest.fixture
def approved(governed: Governed) -> str:
    """Give a manifest's digest; the ledger holds policy, request, decision and closed about it."""
    manifest = governed.manifest()
    governed.approve(manifest, comment="[bold]Fine[/]")
    return manifest.digest


class TestVerify:
    def test_counts_what_it_checked(self, approved: str, airlock: Any) -> None:
        assert airlock("ledger", "verify").output == "ledger ok: 4 records\n"

    def test_a_long_one(self, approved: str, airlock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("airlock.commands.ledger.LONG", 1)
        assert "ledger ok: 4 records" in airlock("ledger", "verify").output


class TestShow:
    def test_a_line_for_each_record(self, approved: str, airlock: Any) -> None:
        lines = airlock("ledger", "show").output.splitlines()
        assert len(lines) == 5
        assert f"manifest {short(approved)}: dora chose 'Approve' “[bold]Fine[/]”" in lines[3]

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            (["--kind", "decision"], 1),
            (["--use-case", "fashion"], 0),
            (["--since", "2100-01-01"], 0),
            (["--since", "2000-01-01T10:00+01:00"], 4),
        ],
    )
    def test_filters(self, approved: str, airlock: Any, filters: list[str], count: int) -> None:
        assert len(airlock("ledger", "show", *filters).output.splitlines()) == 1 + count

    def test_what_names_a_manifest(self, governed: Governed, approved: str, airlock: Any) -> None:
        governed.approve(governed.manifest())
        assert len(airlock("ledger", "show", "--manifest", short(approved)).output.splitlines()) == 1 + 3

    def test_one_in_full(self, governed: Governed, approved: str, airlock: Any) -> None:
        said, record = airlock("ledger", "show", "3").output, governed.ledger.records()[2]
        assert record.hash in said
        assert record.signature in said
        assert '"comment": "[bold]Fine[/]"' in said

    @pytest.mark.parametrize("number", ["0", "5"])
    def test_a_record_that_is_not_there(self, approved: str, airlock: Any, number: str) -> None:
        error = airlock("ledger", "show", number).exception
        assert isinstance(error, UserError)
        assert f"no record {number}" in str(error)

    def test_a_time_that_is_none(self, approved: str, airlock: Any) -> None:
        assert "'noon' is no time" in str(airlock("ledger", "show", "--since", "noon").exception)


def test_an_export_to_a_file_is_the_one_to_standard_output(approved: str, airlock: Any, tmp_path: Path) -> None:
    airlock("ledger", "export", tmp_path / "ledger.jsonl")
    text = (tmp_path / "ledger.jsonl").read_text()
    assert text == airlock("ledger", "export").output
    header, *records = map(json.loads, text.splitlines())
    assert header["airlock_ledger"] == 1
    assert len(records) == header["anchor"]["seq"] == 4


def test_a_key_is_rotated_and_listed(governed: Governed, approved: str, airlock: Any) -> None:
    old = governed.signer.key_id
    assert "signs from now on" in airlock("key", "rotate").output
    assert f"{old}" in airlock("key", "list").output
    assert "nothing after record 4" in airlock("key", "list").output
    assert json.loads(airlock("key", "list", "--json").output)[old]["last"] == 4
    assert airlock("ledger", "verify").output == "ledger ok: 4 records\n"
