"""The documents say what the code does."""

import inspect
import re
from pathlib import Path

import msgspec
import pytest
from airflow.sdk import BaseOperator

from airlock.cli import app
from airlock.governance.policy import GateFile, GatePolicy, read_gates
from airlock.operators import data, deployment, gate, labeling, model, promotion, stream
from airlock.operators.gate import GateOperator
from airlock.operators.processes import SubprocessPlace
from airlock.operators.promotion import ClaimOperator, PromoteOperator

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "operators.md").read_text()
STEP_OPERATORS = [
    operator
    for module in (data, stream, labeling, model, deployment)
    for _, operator in inspect.getmembers(module, inspect.isclass)
    if issubclass(operator, SubprocessPlace) and operator is not SubprocessPlace
]
OPERATORS = [*STEP_OPERATORS, labeling.WaitForLabelsOperator, GateOperator, PromoteOperator, ClaimOperator]
MODULES = (data, stream, labeling, model, deployment, gate, promotion)
FACTORIES = {name for module in MODULES for name in vars(module)}


def own_arguments(operator: type[BaseOperator]) -> set[str]:
    declaring = next(kind for kind in operator.__mro__ if "__init__" in vars(kind))
    return set(inspect.signature(declaring.__init__).parameters) - {"self", "kwargs"}


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
class TestEveryOperator:
    def test_it_is_in_the_reference_with_every_argument(self, operator: type[BaseOperator]) -> None:
        section = re.search(rf"### `\w+` · `{operator.__name__}`\n(.*?)(?=\n##|\Z)", REFERENCE, re.DOTALL)
        assert section is not None
        assert own_arguments(operator) <= set(re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE))

    def test_it_is_used_by_an_example(self, operator: type[BaseOperator]) -> None:
        factory = re.search(rf"### `(\w+)` · `{operator.__name__}`", REFERENCE)
        assert factory is not None
        assert factory[1] in FACTORIES
        examples = [*(ROOT / "dags").glob("*/*_dag.py"), *(ROOT / "docs" / "data").glob("*.md")]
        examples.append(ROOT / "docs" / "search.md")
        used = "\n".join(path.read_text() for path in examples)
        assert f"{factory[1]}(" in used


def test_every_field_of_a_policy_is_in_the_reference() -> None:
    section = REFERENCE.partition("A policy is data")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(GatePolicy.__struct_fields__)


def test_the_policy_in_the_reference_is_one(tmp_path: Path) -> None:
    example = re.search(r"```json\n(.*?)\n```", REFERENCE.partition("A policy is data")[2], re.DOTALL)
    assert example is not None
    (tmp_path / "gates.json").write_text(example[1])
    assert read_gates(tmp_path / "gates.json").gates["model"].stages[1].quorum == 2


class TestReadme:
    README = (ROOT / "README.md").read_text()

    def test_it_fits_its_purpose(self) -> None:
        assert len(self.README.splitlines()) <= 150

    def test_the_program_in_it_is_the_file_it_names(self) -> None:
        program = re.search(r"```python\n(.*?)\n```", self.README, re.DOTALL)
        assert program is not None
        assert program[1] == (ROOT / "dags" / "digits" / "model_dag.py").read_text().rstrip()

    def test_what_it_links_to_exists(self) -> None:
        targets = re.findall(r"\]\((?!http)([^)#]+)\)", self.README)
        assert targets
        assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_benchmark_has_its_figures_written_down() -> None:
    written = (ROOT / "docs" / "benchmarks.md").read_text()
    parts = {"run_all.py", "reporting.py", "guarded_api.py"}
    names = {path.name for path in (ROOT / "benchmarks").glob("*.py")} - parts
    assert [name for name in sorted(names) if name not in written] == []


class TestGates:
    GUIDE = (ROOT / "docs" / "gates.md").read_text()

    def test_every_field_of_a_policy_is_explained(self) -> None:
        assert set(GatePolicy.__struct_fields__) <= set(re.findall(r"^\| `(\w+)` \|", self.GUIDE, re.MULTILINE))

    def test_every_command_in_it_exists(self) -> None:
        groups = {info.name: info.typer_instance for info in app.registered_groups}
        for group, name in re.findall(r"^\$ airlock (\w+) (\w+)", self.GUIDE, re.MULTILINE):
            commands = groups[group].registered_commands
            assert name in [command.name or command.callback.__name__ for command in commands], (group, name)

    def test_its_example_is_one(self) -> None:
        example = re.search(r"```json\n(.*?)\n```", self.GUIDE, re.DOTALL)
        assert example is not None
        assert list(msgspec.json.decode(example[1], type=GateFile).gates) == ["model"]
