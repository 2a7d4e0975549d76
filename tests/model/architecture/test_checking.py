"""Every kind of mistake in an architecture is found without Keras, and named with its node."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.model.architecture import ArchitectureError, check, resolve
from airlock.model.architecture.catalogue import catalogue
from airlock.model.architecture.shapes import RULES
from tests.model.architecture.conftest import TAIL

Wrong = Callable[..., list[str]]
CONV = {"Conv2D": {"filters": 4, "kernel_size": 3}}


def conv(**attributes: Any) -> dict[str, Any]:
    return {"Conv2D": {"filters": 4, "kernel_size": 3, **attributes}}


class TestLayers:
    @pytest.mark.parametrize(
        ("layer", "reason"),
        [
            ("Densse", "Keras has no layer Densse; did you mean Dense?"),
            ("relu", "Keras has no layer relu; did you mean ReLU?"),
            ("MaxPool2D", "MaxPool2D is another name: write MaxPooling2D"),
            ("Lambda", "Lambda cannot be used: it holds code, and an architecture holds none: write a network.py"),
            ("RandomFlip", "RandomFlip cannot be used: preprocessing belongs to transform.py"),
            ("Quux", "Keras has no layer Quux"),
        ],
    )
    def test_one_that_cannot_be_used_is_named_with_the_way_out(self, wrong: Wrong, layer: str, reason: str) -> None:
        found = wrong([{"a": layer}, *TAIL])
        assert len(found) == 1, "What follows from a mistake is not reported as another."
        assert found[0].startswith(f"a: {reason}")

    def test_every_layer_has_a_shape_rule_and_every_rule_a_layer(self) -> None:
        assert set(RULES) == set(catalogue().layers)


class TestAttributes:
    @pytest.mark.parametrize(
        ("node", "reason"),
        [
            ({"Conv2D": {"filters": 4}}, "Conv2D needs kernel_size"),
            (conv(filter=3), "Conv2D has no attribute filter; did you mean filters?"),
            (conv(filters=0), "filters is 0; it must be a whole number ≥ 1"),
            (conv(filters="8"), 'filters is "8"; it must be a whole number ≥ 1'),
            (conv(filters=True), "filters is true; it must be a whole number ≥ 1"),
            (conv(filters=8.0), "filters is 8.0; it must be a whole number ≥ 1; a division that must stay whole is"),
            (conv(filters=None), "filters is null; it must be a whole number ≥ 1"),
            (conv(kernel_size=[3, 3, 3]), "kernel_size is [3, 3, 3]; it must be a whole number ≥ 1 or a list of 2"),
            (conv(padding="some"), 'padding is "some"; it must be one of valid, same; did you mean same?'),
            (conv(activation="rellu"), 'activation is "rellu"; it must be an activation of Keras; did you mean relu?'),
            (conv(use_bias="yes"), 'use_bias is "yes"; it must be true or false'),
            (conv(kernel_initializer="he"), 'kernel_initializer is "he"; it must be an initializer of Keras'),
            (conv(kernel_initializer={"HeNormal": {"sed": 1}}), "kernel_initializer: HeNormal has no attribute sed"),
            (
                conv(kernel_regularizer={"L2": {"l2": -1}}),
                "kernel_regularizer: l2 of L2 is -1; it must be a number ≥ 0",
            ),
            (conv(bias_constraint="nonneg"), 'bias_constraint is "nonneg"; it must be a constraint of Keras'),
            (conv(data_format="channels_first"), "data_format cannot be set: tensors are always channels last"),
            (conv(name="x"), "name cannot be set: the node's name is the layer's"),
            ({"Dropout": {"rate": 1.0}}, "rate is 1.0; it must be a number ≥ 0 and < 1"),
            ({"Reshape": {"target_shape": []}}, "target_shape is []; it must be a list of whole numbers ≥ -1"),
            ({"Rescaling": {"scale": "big"}}, 'scale is "big"; it must be a number or a list of them'),
            ({"ZeroPadding2D": {"padding": [1, [1, 2]]}}, "padding is [1, [1, 2]]; it must be a whole number ≥ 0 or a"),
            ({"TimeDistributed": {"layer": {"Dense": {"unit": 3}}}}, "layer: Dense needs units"),
            ({"TimeDistributed": {"layer": 3}}, "layer is 3; it must be a layer: Name, or {Name: {attribute: …}}"),
            ({"Bidirectional": {"layer": "Flatten"}}, "layer is Flatten; Bidirectional wraps LSTM, GRU, SimpleRNN"),
        ],
    )
    def test_a_wrong_one_is_named_with_what_it_must_be(self, wrong: Wrong, node: dict[str, Any], reason: str) -> None:
        found = wrong([{"a": node}, *TAIL])
        assert found, "It passed."
        assert found[0].startswith(f"a: {reason}")


class TestWiring:
    def test_a_node_that_is_not_there(self, wrong: Wrong) -> None:
        nodes = [{"conv1": CONV}, {"sum": {"Add": {}, "inputs": ["conv1", "conv_1"]}}, *TAIL]
        assert wrong(nodes) == ["sum: reads conv_1, and there is no such node; did you mean conv1?"]

    def test_a_circle_is_printed(self, wrong: Wrong) -> None:
        nodes = [{"a": {"Dense": {"units": 2}, "inputs": "c"}}, {"b": {"Dense": {"units": 2}}}, {"c": "ReLU"}, *TAIL]
        circle = [line for line in wrong(nodes) if "circle" in line]
        assert len(circle) == 1
        assert set(circle[0].rpartition(": ")[2].split(" -> ")) == {"a", "b", "c"}

    def test_a_node_that_leads_nowhere(self, wrong: Wrong) -> None:
        nodes = [
            {"conv": CONV},
            {"side": {"Dense": {"units": 3}, "inputs": "conv"}},
            {"flat": {"Flatten": {}, "inputs": "conv"}},
        ]
        assert wrong([*nodes, TAIL[1]]) == ["side: leads nowhere: the output out does not depend on it"]

    def test_a_name_given_twice(self, wrong: Wrong) -> None:
        assert "a: the name is given to two nodes" in wrong([{"a": "ReLU"}, {"a": "ReLU"}, *TAIL])

    def test_an_output_that_is_not_there(self, wrong: Wrong) -> None:
        assert wrong(TAIL, output="outt") == ["output: is outt, and there is no such node; did you mean out?"]

    @pytest.mark.parametrize(
        ("layer", "inputs", "reason"),
        [
            ("Add", ["conv"], "Add reads at least 2 inputs, and has 1"),
            ("Subtract", ["conv", "conv", "conv"], "Subtract reads 2 inputs, and has 3"),
            ("ReLU", ["conv", "pool"], "ReLU reads 1 input, and has 2"),
            ("Add", ["conv", "pool"], "Add reads [6, 6, 4] and [3, 3, 4], which differ"),
            (
                "Concatenate",
                ["conv", "pool"],
                "Concatenate reads [6, 6, 4] and [3, 3, 4], which differ outside of axis -1",
            ),
            ({"Concatenate": {"axis": 4}}, ["conv", "conv"], "axis 4 of Concatenate does not exist: its input is"),
            ({"Concatenate": {"axis": 0}}, ["conv", "conv"], "axis 0 of Concatenate is the batch"),
        ],
    )
    def test_inputs_that_do_not_go_together(self, wrong: Wrong, layer: Any, inputs: list[str], reason: str) -> None:
        named = layer if isinstance(layer, dict) else {layer: {}}
        nodes = [{"conv": CONV}, {"pool": "MaxPooling2D"}, {"both": {**named, "inputs": inputs}}, *TAIL]
        assert next(line for line in wrong(nodes) if "nowhere" not in line).startswith(f"both: {reason}")


class TestShapes:
    @pytest.mark.parametrize(
        ("nodes", "reason"),
        [
            ([{"flat": "Flatten"}, {"a": CONV}], "Conv2D reads [height, width, channels], and its input is [64]"),
            (
                [{"a": conv(kernel_size=9)}],
                "Conv2D has a window of [9, 9], larger than its input [8, 8]: nothing is left",
            ),
            ([{"a": {"MaxPooling2D": {"pool_size": 10}}}], "MaxPooling2D has a window of [10, 10]"),
            ([{"a": {"Cropping2D": {"cropping": 4}}}], "Cropping2D crops 4 of [8, 8, 1]: nothing is left"),
            ([{"a": conv(strides=2, dilation_rate=2)}], "Conv2D has strides and dilation_rate above 1: choose one"),
            ([{"a": conv(groups=3)}], "Conv2D has 3 groups, and 4 filters: not a multiple"),
            ([{"a": {"Reshape": {"target_shape": [5, -1]}}}], "Reshape cannot make [5, -1] of [8, 8, 1], which has 64"),
            (
                [{"a": {"Permute": {"dims": [1, 2]}}}],
                "Permute has the dims [1, 2]: its input [8, 8, 1] has the axes 1 to 3",
            ),
            ([{"a": {"BatchNormalization": {"axis": 4}}}], "axis 4 of BatchNormalization does not exist"),
            (
                [{"a": {"Embedding": {"input_dim": 9, "output_dim": 2}}}],
                "Embedding looks up whole numbers, and its input is float32",
            ),
        ],
    )
    def test_a_layer_that_cannot_read_its_input(self, wrong: Wrong, nodes: list[Any], reason: str) -> None:
        found = wrong([*nodes, {"last": "Flatten"}, TAIL[1]])
        assert len(found) == 1
        assert found[0].startswith(f"a: {reason}")

    def test_whole_numbers_are_scaled_before_a_layer_that_needs_floats(self, wrong: Wrong) -> None:
        found = wrong([{"a": CONV}, *TAIL], input={"shape": [8, 8, 1], "dtype": "uint8"})
        assert found == ["a: Conv2D reads floats, and its input is uint8: put a Rescaling before it"]

    def test_the_output_has_one_value_for_each_class(self, wrong: Wrong) -> None:
        reason = "is the output and makes [7]; it must make [10], one for each class"
        assert wrong([TAIL[0], {"out": {"Dense": {"units": 7}}}]) == [f"out: {reason}"]
        assert wrong([{"a": "ReLU"}]) == ["a: is the output and makes [8, 8, 1]; it must make [10], one for each class"]

    def test_the_output_is_float(self, wrong: Wrong) -> None:
        found = wrong([{"a": "Flatten"}], classes=4, input={"shape": [4], "dtype": "int32"})
        assert found == ["a: is the output and makes int32; it must make float32"]


class TestParameters:
    def test_one_that_is_not_defined(self, wrong: Wrong) -> None:
        nodes = [{"a": conv(filters="${filter}")}, {"b": conv(filters="${filters}")}, *TAIL]
        assert wrong(nodes, parameters={"filters": 3}) == [
            "a: filters: ${filter} is not defined; did you mean filters?"
        ]

    def test_one_that_no_node_uses(self, wrong: Wrong) -> None:
        assert wrong(TAIL, parameters={"depth": 3}) == [
            "parameters: depth is used by no node: write ${depth} where it is meant, or take it out"
        ]

    def test_a_slip_of_the_pen_in_the_run(self, wrong: Wrong) -> None:
        nodes = [{"a": conv(filters="${filters}")}, *TAIL]
        found = wrong(nodes, {"filtres": 3, "epochs": 2}, parameters={"filters": 3})
        assert found == ["parameters: there is no parameter filtres; did you mean filters?"]

    def test_a_value_of_the_run_is_held_to_the_attribute_it_fills(self, wrong: Wrong) -> None:
        nodes = [{"a": conv(filters="${filters * 2}")}, *TAIL]
        assert wrong(nodes, {"filters": -1}, parameters={"filters": 3}) == [
            "a: filters is -2 (from ${filters * 2}); it must be a whole number ≥ 1"
        ]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("${filters +}", "${filters +} is no expression"),
            ("${filters ** 9}", "${filters ** 9} is neither a parameter, a number nor + - * / // %"),
            ("${__import__('os')}", "${__import__('os')} is neither"),
            ("${filters / 0}", "${filters / 0} cannot be computed: division by zero"),
            ("${name * 2}", "'x' is no number to compute with"),
            ("${'1' * 999}", "${'1'} is neither"),
        ],
    )
    def test_only_arithmetic_is_computed(self, wrong: Wrong, text: str, reason: str) -> None:
        nodes = [{"a": conv(filters=text)}, {"b": conv(filters="${filters}", padding="${name}")}, *TAIL]
        found = wrong(nodes, parameters={"filters": 3, "name": "x"})
        assert found[0].startswith(f"a: filters: {reason}")

    def test_a_whole_text_keeps_the_type_and_a_part_is_text(self, write: Callable[..., Path]) -> None:
        parameters = {"sizes": [3, 5], "wide": 1, "name": "lu", "keep": False}
        nodes = [{"a": conv(kernel_size="${sizes}", activation="re${name}", use_bias="${keep}", filters="${wide + 1}")}]
        layer = check(resolve(write([*nodes, *TAIL], parameters=parameters)), {"wide": 2}, 10).nodes[0].layer
        assert layer.attributes == {"kernel_size": [3, 5], "activation": "relu", "use_bias": False, "filters": 3}

    def test_without_the_number_of_classes_all_else_is_checked(self, wrong: Wrong) -> None:
        assert wrong(TAIL, classes=None) == []
        assert wrong([{"a": conv(filters=0)}, *TAIL], classes=None) == [
            "a: filters is 0; it must be a whole number ≥ 1"
        ]


class TestAllAtOnce:
    def test_every_problem_is_in_one_error_with_its_file(self, write: Callable[..., Path]) -> None:
        write([{"conv": conv(padding="some")}, *TAIL], name="base/network.yaml", parameters={"unused": 1})
        path = write(
            [{"conv2": {"Dens": {}, "after": "flat"}}, {"out": {"inputs": "flatt"}}], extends="base/network.yaml"
        )
        with pytest.raises(ArchitectureError) as raised:
            check(resolve(path), {'net["x*"].filters': 3, 'net["flat"].lr': -1}, 10)
        assert [(each.file, each.node) for each in raised.value.problems] == [
            ("network.yaml", "parameters"),
            ("base/network.yaml", "conv"),
            ("network.yaml", "conv2"),
            ("network.yaml", "parameters"),
            ("network.yaml", "out"),
        ]
        lines = str(raised.value).splitlines()
        assert lines[0] == "The architecture network.yaml has 5 problems (see docs/architectures.md):"
        assert lines[1:] == [f"- {each}" for each in raised.value.problems]


def test_nothing_of_it_imports_keras(write: Callable[..., Path]) -> None:
    path = write([{"a": CONV}, *TAIL])
    program = (
        "import sys\nfrom pathlib import Path\nfrom airlock.model.architecture import check, resolve\n"
        f"print(check(resolve(Path({str(path)!r})), {{}}, 10).trainable)\n"
        "assert not {'keras', 'tensorflow', 'torch', 'numpy'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) == (3 * 3 * 1 + 1) * 4 + (6 * 6 * 4 + 1) * 10
