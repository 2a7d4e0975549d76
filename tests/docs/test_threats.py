"""The table of threats and the attack suite name the same tests."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_attempt_is_in_the_table_and_in_the_suite() -> None:
    tree = ast.parse((ROOT / "tests/integration/test_gate_attacks.py").read_text())
    suite = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}
    table = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/threats.md").read_text()))
    assert table == suite
