"""An export is verified by a script of 40 lines that needs nothing of Airlock."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from airlock.governance import verify_export
from airlock.governance.authority import authority
from airlock.governance.export import export
from airlock.governance.rotation import rotate, trusted_keys
from airlock.governance.signing import create_keypair, load_signer
from tests.governance.test_ledger_verification import rewritten
from tests.governed import Governed

SCRIPT = Path(verify_export.__file__)
Lines = list[dict[str, Any]]


@pytest.fixture
def lines(governed: Governed) -> Lines:
    """Give the export of: policy, request, decision, closed, promotion, void (with another key)."""
    record = governed.approve(governed.manifest())
    governed.ledger.append("promotion", {"use_case": "digits", "decision": record.hash, "name": "naïve ✓"})
    rotate(authority(), governed.keys)
    governed.signer = authority().signer
    governed.sign("void", {"use_case": "digits", "record": "none"})
    return [json.loads(line) for line in export(governed.ledger, governed.keys)]


@pytest.fixture
def verify(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Give ``verify(lines, *arguments)``: exit status and output of the script, run away from Airlock."""

    def run(lines: Lines, *arguments: str) -> tuple[int, str]:
        path = tmp_path / "ledger.jsonl"
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-I", str(SCRIPT), str(path), *arguments]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout + ended.stderr

    return run


def test_the_script_is_short_and_stands_alone() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 40
    assert "import airlock" not in text
    assert "from airlock" not in text


def test_untouched(governed: Governed, lines: Lines, verify: Any, tmp_path: Path) -> None:
    status, said = verify(lines)
    assert (status, said.startswith("ok: 6 records, keys as in the file: ")) == (0, True)
    trusted = tmp_path / "keys.json"
    trusted.write_text(json.dumps(trusted_keys(governed.keys)))
    assert verify(lines, str(trusted)) == (0, "ok: 6 records\n")


def test_an_empty_ledger(governed: Governed, verify: Any) -> None:
    assert verify([json.loads(line) for line in export(governed.ledger, governed.keys)])[0] == 0


class TestTampered:
    def test_edited(self, lines: Lines, verify: Any) -> None:
        lines[3]["record"] = lines[3]["record"].replace("dora", "eve!")
        assert verify(lines) == (1, "record 3: ValueError('altered, or not in its place')\n")

    def test_edited_with_its_hash(self, governed: Governed, lines: Lines, verify: Any) -> None:
        record = governed.ledger.records()[2]
        forged = rewritten(record, body=record.body | {"user": "eve"})
        lines[3] |= {"record": forged.text, "hash": forged.hash}
        assert verify(lines) == (1, "record 3: InvalidSignature()\n")

    def test_a_signed_kind_without_a_signature(self, governed: Governed, lines: Lines, verify: Any) -> None:
        forged = rewritten(governed.ledger.records()[2], key_id="")
        lines[3] |= {"record": forged.text, "hash": forged.hash, "signature": ""}
        assert verify(lines) == (1, "record 3: KeyError('')\n")

    def test_reordered(self, lines: Lines, verify: Any) -> None:
        lines[2], lines[3] = lines[3], lines[2]
        assert verify(lines) == (1, "record 2: ValueError('altered, or not in its place')\n")

    def test_a_record_left_out(self, lines: Lines, verify: Any) -> None:
        del lines[2]
        assert verify(lines) == (1, "record 2: ValueError('altered, or not in its place')\n")

    def test_a_record_replayed(self, lines: Lines, verify: Any) -> None:
        status, said = verify([*lines, lines[4]])
        assert (status, said.split(":")[0]) == (1, "record 7")

    def test_truncated(self, lines: Lines, verify: Any) -> None:
        status, said = verify(lines[:-1])
        assert (status, "record 6 was signed" in said) == (1, True)

    def test_truncated_with_an_anchor_made_up_to_fit(self, lines: Lines, verify: Any) -> None:
        lines[0]["anchor"] |= {"seq": 4, "hash": lines[4]["hash"]}
        assert verify(lines[:-1]) == (1, "record 5: InvalidSignature()\n")

    def test_signed_with_a_foreign_key(self, governed: Governed, lines: Lines, verify: Any, tmp_path: Path) -> None:
        foreign = load_signer(path=create_keypair(tmp_path / "foreign"))
        forged = rewritten(governed.ledger.records()[5], key_id=foreign.key_id)
        forged = replace(forged, signature=foreign.sign(forged.hash.encode()))
        lines[6] |= {"record": forged.text, "hash": forged.hash, "signature": forged.signature}
        assert verify(lines) == (1, f"record 6: KeyError('{foreign.key_id}')\n")

    def test_signed_with_a_foreign_key_that_the_file_brings_along(
        self, governed: Governed, lines: Lines, verify: Any, tmp_path: Path
    ) -> None:
        trusted = tmp_path / "keys.json"
        trusted.write_text(json.dumps(dict(list(trusted_keys(governed.keys).items())[:1])))
        status, said = verify(lines, str(trusted))
        assert (status, said.split(":")[0]) == (1, "record 1"), "the first records were signed with the other key"

    def test_signed_with_a_key_that_was_retired_before(self, lines: Lines, verify: Any) -> None:
        for key in lines[0]["keys"].values():
            if "last" in key:
                key["last"] = 3
        status, said = verify(lines)
        assert (status, said) == (1, "record 4: ValueError('signed with a key that was retired before')\n")
