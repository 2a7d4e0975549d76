"""Files that extend one another become one document with one digest."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.digests import canonical
from airlock.errors import UserError
from airlock.model.architecture import ArchitectureError, check, read, resolve
from tests.model.architecture.conftest import TAIL

Write = Callable[..., Path]
BASE: list[Any] = [
    {"conv": {"Conv2D": {"filters": "${filters}", "kernel_size": 3, "activation": "relu"}}},
    {"pool": "MaxPooling2D"},
    *TAIL,
]


def wires(path: Path) -> dict[str, tuple[str, ...]]:
    return {node.name: node.inputs for node in resolve(path).nodes}


@pytest.fixture
def base(write: Write) -> Path:
    return write(BASE, name="base.yaml", parameters={"filters": 8})


class TestExtending:
    def test_attributes_of_the_same_layer_are_merged_and_null_takes_one_back(self, write: Write, base: Path) -> None:
        path = write([{"conv": {"Conv2D": {"kernel_size": 5, "activation": None}}}], extends="base.yaml")
        assert resolve(path).node("conv").attributes == {"filters": "${filters}", "kernel_size": 5}

    def test_another_layer_replaces_the_first_with_its_attributes(self, write: Write, base: Path) -> None:
        path = write([{"pool": {"AveragePooling2D": {"pool_size": 3}}}], extends="base.yaml")
        assert (resolve(path).node("pool").layer, wires(path)["pool"]) == ("AveragePooling2D", ("conv",))

    def test_a_removed_node_closes_the_gap(self, write: Write, base: Path) -> None:
        assert wires(write([{"pool": None}], extends="base.yaml"))["flat"] == ("conv",)

    def test_a_new_node_goes_where_it_says(self, write: Write, base: Path) -> None:
        nodes = [{"norm": {"BatchNormalization": {}, "after": "conv"}}, {"first": {"ReLU": {}, "after": "input"}}]
        assert list(wires(write(nodes, extends="base.yaml"))) == ["first", "conv", "norm", "pool", "flat", "out"]

    def test_parameters_input_and_output_are_laid_over(self, write: Write, base: Path) -> None:
        path = write([], extends="base.yaml", parameters={"filters": 2}, input={"shape": [9, 9, 1]}, output="flat")
        found = resolve(path)
        assert (found.parameters, found.shape, found.dtype, found.output) == (
            {"filters": 2},
            (9, 9, 1),
            "float32",
            "flat",
        )

    def test_a_chain_is_followed_relative_to_each_file(self, write: Write, base: Path) -> None:
        write([{"pool": None}], name="more/middle.yaml", extends="../base.yaml")
        path = write([{"conv": {"Conv2D": {"kernel_size": 1}}}], name="last.yaml", extends="more/middle.yaml")
        assert list(wires(path)) == ["conv", "flat", "out"]
        assert [source.name for source in resolve(path).sources] == ["base.yaml", "middle.yaml", "last.yaml"]

    def test_a_circle_is_printed(self, write: Write) -> None:
        write(None, name="a.yaml", extends="b.yaml")
        write(None, name="b.yaml", extends="c.yaml")
        path = write(None, name="c.yaml", extends="a.yaml")
        with pytest.raises(UserError, match=r"c\.yaml -> a\.yaml -> b\.yaml -> c\.yaml"):
            resolve(path)

    def test_a_missing_base_is_named(self, write: Write) -> None:
        with pytest.raises(UserError, match=r"network\.yaml extends 'nowhere\.yaml', which is not there"):
            resolve(write(None, extends="nowhere.yaml"))

    def test_what_cannot_be_laid_over_is_a_problem(self, write: Write, base: Path) -> None:
        nodes = [{"pooll": None}, {"fresh": {"inputs": "conv"}}, {"late": {"ReLU": {}, "after": "convv"}}]
        with pytest.raises(ArchitectureError) as raised:
            check(resolve(write(nodes, extends="base.yaml")), {}, 10)
        reasons = [f"{each.node}: {each.reason}" for each in raised.value.problems]
        assert "pooll: is removed, and no file it extends has it; did you mean pool?" in reasons
        assert "fresh: has no layer" in reasons
        assert "late: stands after convv, and there is no such node; did you mean conv?" in reasons


class TestDigest:
    def test_it_is_of_what_the_files_mean_not_of_how_they_are_written(self, write: Write, base: Path) -> None:
        extended = resolve(write([{"pool": None}], extends="base.yaml"))
        whole = resolve(write([BASE[0], *TAIL], name="whole.yaml", parameters={"filters": 8}))
        as_json = write(None, name="whole.json")
        as_json.write_bytes(whole.data)
        assert extended.digest == whole.digest == resolve(as_json).digest

    def test_the_resolved_document_is_canonical_and_resolves_to_itself(self, base: Path) -> None:
        data = resolve(base).data
        assert canonical(resolve(base).document) == data == read(data, "resolved").data

    def test_it_changes_with_an_attribute(self, write: Write, base: Path) -> None:
        other = write([{"conv": {"Conv2D": {"kernel_size": 5}}}], extends="base.yaml")
        assert resolve(other).digest != resolve(base).digest

    def test_a_document_with_problems_has_none(self, write: Write) -> None:
        with pytest.raises(ArchitectureError, match="has two layers, Dense and ReLU"):
            _ = resolve(write([{"a": {"Dense": {}, "ReLU": {}}}])).data


class TestForm:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nodes: [", "not well-formed: .* line 1"),
            ("input: {}\ninput: {}", "'input' is given twice, first in line 1"),
            ("- a", "is no mapping"),
            ("parameters: {x: .nan}", "has the value nan"),
            ("1: 2", "has the key 1, not text"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_refused_with_its_line(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "network.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            resolve(tmp_path / "network.yaml")

    def test_json_is_as_strict(self, tmp_path: Path) -> None:
        (tmp_path / "network.json").write_text('{"nodes": [], "nodes": []}')
        with pytest.raises(UserError, match="'nodes' is given twice"):
            resolve(tmp_path / "network.json")

    def test_a_number_with_an_exponent_is_one(self, tmp_path: Path) -> None:
        (tmp_path / "network.yaml").write_text("airlock_architecture: 1\nparameters: {rate: 1e-3, when: 2026-01-01}")
        assert resolve(tmp_path / "network.yaml").parameters == {"rate": 0.001, "when": "2026-01-01"}

    def test_a_missing_or_foreign_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nothing\.yaml cannot be read: No such file"):
            resolve(tmp_path / "nothing.yaml")
        with pytest.raises(UserError, match=r"network\.toml is no architecture"):
            resolve(tmp_path / "network.toml")

    @pytest.mark.parametrize(
        ("document", "reason"),
        [
            ({"airlock_architecture": 2}, "is no architecture: begin it with `airlock_architecture: 1`"),
            ({"node": []}, "has the key node; did you mean nodes?"),
            ({"input": {"shape": [8, -1]}}, "the shape is [8, -1]; it must be a list of whole numbers ≥ 1"),
            (
                {"input": {"shape": [8], "dtype": "int8"}},
                "the dtype is 'int8'; it must be one of uint8, int32, float32",
            ),
            ({"input": {"a": {}, "shape": [8]}}, "has the key a: it has shape and dtype, and there is one input"),
            ({"parameters": {"classes": 3}}, "a parameter cannot be called 'classes'"),
            ({"nodes": {"a": "ReLU"}}, "nodes is no list"),
            ({"nodes": ["ReLU"]}, "is not one name and its layer"),
            ({"nodes": [{"input": "ReLU"}]}, "input is the name of the document's input"),
            ({"nodes": [{"a/b": "ReLU"}]}, "a name has letters, digits, - and _, beginning with a letter"),
            ({"nodes": [{"a": 3}]}, "is no layer"),
            ({"nodes": [{"a": {"ReLU": 3}}]}, "the attributes of ReLU are no mapping"),
            ({"nodes": [{"a": {"ReLU": {}, "inputs": 3}}]}, "inputs is a node's name or a list of them"),
            ({"nodes": []}, "there is no node"),
        ],
    )
    def test_a_wrong_form_is_a_problem(self, wrong: Any, document: dict[str, Any], reason: str) -> None:
        nodes = document.pop("nodes", TAIL)
        assert any(reason in line for line in wrong(nodes, **document))
