"""Parameters that reach into the network by pattern."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airlock.errors import UserError
from airlock.model.architecture import Architecture, ArchitectureError, check, override, rates, resolve, split_overrides
from airlock.model.architecture.overrides import read_path
from airlock.model.names import parameter_name
from tests.model.architecture.conftest import TAIL


@pytest.fixture
def network(write: Callable[..., Path]) -> Architecture:
    conv = {"Conv2D": {"filters": 4, "kernel_size": 3}}
    each = {"TimeDistributed": {"layer": {"Dense": {"units": 3}}}}
    return resolve(write([{"conv1": conv}, {"conv2": conv}, {"each": each}, *TAIL]))


class TestReading:
    @pytest.mark.parametrize(
        ("key", "pattern", "attributes"),
        [
            ('net["conv*"].filters', "conv*", ("filters",)),
            ("net['conv[12]'].lr", "conv[12]", ("lr",)),
            ('net["each"].layer.units', "each", ("layer", "units")),
        ],
    )
    def test_a_path_is_taken_apart(self, key: str, pattern: str, attributes: tuple[str, ...]) -> None:
        path = read_path(key)
        assert (path.pattern, path.attributes) == (pattern, attributes)

    @pytest.mark.parametrize(
        "key",
        ["net[conv].lr", 'net["conv"]', 'net["a"].', "net[\"a'].lr", "net.conv.lr", 'net["a b"].lr', 'net[""].lr'],
    )
    def test_what_is_none_is_refused_with_an_example(self, key: str) -> None:
        with pytest.raises(UserError, match=r'is no path into the network.*net\["conv\*"\]\.filters'):
            split_overrides({key: 1})

    def test_parameters_are_told_apart(self) -> None:
        given = split_overrides({"epochs": 3, "network": "a", 'net["a"].units': 4, 'net["b*"].lr': 0})
        assert given.plain == {"epochs": 3, "network": "a"}
        assert given.attributes == {'net["a"].units': 4}
        assert given.multipliers == {"b*": 0.0}

    @pytest.mark.parametrize("factor", [-1, "fast", True, float("nan"), float("inf")])
    def test_a_factor_that_is_none_is_refused(self, factor: Any) -> None:
        with pytest.raises(UserError, match="A factor on the learning rate is a number ≥ 0"):
            split_overrides({'net["a"].lr': factor})


class TestOverriding:
    def test_every_node_that_fits_is_changed_and_no_other(self, network: Architecture) -> None:
        changed = override(network, {'net["conv?"].filters': 9, 'net["conv1"].activation': "relu"})
        made = {node.name: node.made for node in check(changed, {}, 10).nodes if node.made}
        assert [made[name].shape[-1] for name in ("conv1", "conv2", "each")] == [9, 9, 3]
        assert changed.node("conv1").attributes["activation"] == "relu"
        assert network.node("conv1").attributes == {"filters": 4, "kernel_size": 3}

    def test_a_nested_layer_is_reached(self, network: Architecture) -> None:
        changed = override(network, {'net["each"].layer.units': 5})
        assert changed.node("each").attributes == {"layer": {"Dense": {"units": 5}}}

    @pytest.mark.parametrize(
        ("values", "reason"),
        [
            ({'net["dense*"].units': 3}, r"fits no node"),
            ({'net["c*1"].units': 3}, r"conv1: .* Conv2D has no attribute units"),
            ({'net["*"].filters': 3}, r"flat: .* Flatten has no attribute filters"),
            ({'net["each"].layer.unit': 3}, r"each: .* Dense has no attribute unit; did you mean units"),
            ({'net["conv1"].layer.units': 3}, r"Conv2D has no layer layer"),
            ({'net["conv*"].filters': 3, 'net["*1"].filters': 4}, r"conv1: .* contradicts net\[\"conv\*\"\]\.filters"),
        ],
    )
    def test_what_cannot_be_is_named(self, network: Architecture, values: dict[str, Any], reason: str) -> None:
        with pytest.raises(ArchitectureError, match=reason):
            override(network, values)

    def test_the_order_of_keys_decides_nothing(self, network: Architecture) -> None:
        values = {'net["conv*"].filters': 3, 'net["conv1"].filters': 3, 'net["conv2"].padding': "same"}
        assert override(network, values).digest == override(network, dict(reversed(values.items()))).digest

    def test_a_wrong_value_is_found_by_the_check(self, network: Architecture) -> None:
        with pytest.raises(ArchitectureError, match="conv1: filters is 0; it must be a whole number ≥ 1"):
            check(network, {'net["conv1"].filters': 0}, 10)


class TestRates:
    def test_a_factor_is_given_to_every_layer_that_fits(self) -> None:
        assert rates({"conv*": 0.1, "out": 2.0}, ["conv1", "conv2", "flat", "out"]) == {
            "conv1": 0.1,
            "conv2": 0.1,
            "out": 2.0,
        }

    def test_a_pattern_that_fits_nothing_is_refused(self, network: Architecture) -> None:
        with pytest.raises(UserError, match=r'net\["dense"\]\.lr fits no layer'):
            rates({"dense": 0.1}, ["conv1"])
        with pytest.raises(ArchitectureError, match=r'net\["dense"\]\.lr fits no layer'):
            check(network, {'net["dense"].lr': 0.1}, 10)

    def test_two_factors_for_one_layer_contradict(self) -> None:
        with pytest.raises(UserError, match=r"Two patterns give conv1 the lr 0\.1 and 0\.5"):
            rates({"conv*": 0.1, "*1": 0.5}, ["conv1"])


class TestNamesInMlflow:
    def test_paths_are_written_without_what_mlflow_refuses(self) -> None:
        from mlflow.utils.validation import _validate_param_name

        keys = ["epochs", 'net["conv*"].lr', 'net["conv?"].lr', 'net["conv[!12]"].filters', 'net["each"].layer.units']
        names = [parameter_name(key) for key in keys]
        for name in names:
            _validate_param_name(name)
        assert names[:2] == ["epochs", "net/conv:any/lr"]
        assert len(set(names)) == len(keys)
