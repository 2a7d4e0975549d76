"""The format reference shows documents that are right, and says what the check says."""

import re
from pathlib import Path

from airlock.model.architecture import check, resolve
from airlock.model.architecture.catalogue import catalogue

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs" / "architectures.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)


def test_its_examples_pass_the_check(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(EXAMPLES[0])
    (tmp_path / "network.yaml").write_text(EXAMPLES[1])
    made = {node.name: node.made for node in check(resolve(tmp_path / "base.yaml"), {}, 10).nodes if node.made}
    assert made["read"].shape == (2 * 2 * 32,)
    changed = check(resolve(tmp_path / "network.yaml"), {}, 10)
    assert [node.name for node in changed.nodes][-3:] == ["read", "wide", "out"]
    assert "drop" not in [node.name for node in changed.nodes]


def test_what_cannot_be_set_or_used_has_a_reason() -> None:
    assert all(catalogue().fixed.values())
    assert all(catalogue().left_out.values())
