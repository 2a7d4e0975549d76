"""Random architectures: valid ones, grown node by node, and the proposals that were refused on the way."""

import random
from collections import Counter
from typing import Any

from airlock.model.architecture.attributes import WRAPPED, Reading
from airlock.model.architecture.catalogue import Layer, Spec, catalogue
from airlock.model.architecture.shapes import RULES, Made, Misfit, Tensor

NOT_FOR_VECTORS = ("Orthogonal", "Identity", "VarianceScaling")
LARGEST = 4000
"""Values in one sample, so that building many models takes minutes and not hours."""


class Proposal:
    """One layer on some inputs, and what the rules say about it."""

    def __init__(self, kind: str, attributes: dict[str, Any], inputs: list[Tensor]) -> None:
        self.kind = kind
        self.attributes = attributes
        self.inputs = inputs
        self.reading = Reading(kind, attributes)
        self.made: Made | None = None
        self.refusal: Misfit | None = None
        if self.reading.usable:
            try:
                self.made = RULES[kind].apply(self.reading.layer, inputs)
            except Misfit as error:
                self.refusal = error

    @property
    def layer(self) -> Layer:
        return self.reading.layer


class Grower:
    """Grows architectures; keeps count of the layers used, so that rare ones get their turn.

    :param seed: of the random generator.
    :param masks: whether layers may make masks. Airlock follows none: where one ends up in a layer whose shape it does
        not have, Keras fails when the model runs.
    """

    def __init__(self, seed: int, masks: bool = True) -> None:
        self.random = random.Random(seed)
        self.kinds = [kind for kind in RULES if masks or kind != "Masking"]
        self.masks = masks
        self.used: Counter[str] = Counter()
        self.refused: list[Proposal] = []

    def grow(self, size: int) -> dict[str, Any]:
        """Return a document whose nodes all lead to its output, which has 3 classes."""
        shape = [self.random.randint(2, 7) for _ in range(self.random.choice([1, 2, 2, 3, 3, 3, 4]))]
        dtype = self.random.choice(["float32", "float32", "uint8", "int32"])
        tensors = {"input": Tensor(tuple(shape), dtype)}
        nodes: list[dict[str, Any]] = []
        while len(nodes) < size:
            self._add(nodes, tensors)
        self._finish(nodes, tensors)
        return {
            "airlock_architecture": 1,
            "input": {"shape": shape, "dtype": dtype},
            "nodes": nodes,
        }

    def _add(self, nodes: list[dict[str, Any]], tensors: dict[str, Tensor]) -> None:
        names = list(tensors)
        first = names[-1] if self.random.random() < 0.7 else self.random.choice(names)
        for kind in sorted(self.kinds, key=lambda kind: self.used[kind] * self.random.random()):
            for _ in range(4):
                low, high = RULES[kind].inputs
                others = [first] + [
                    self._partner(tensors, first) for _ in range(self.random.randint(low, min(high, 3)) - 1)
                ]
                inputs = [tensors[name] for name in others]
                proposal = Proposal(kind, self.attributes(kind, inputs[0]), inputs)
                if proposal.refusal:
                    self.refused.append(proposal)
                elif proposal.made and 0 < _size(proposal.made) <= LARGEST and len(proposal.made.shape) < 6:
                    self._append(nodes, tensors, proposal, others)
                    return
        raise AssertionError(f"no layer fits {tensors[first]}")

    def _partner(self, tensors: dict[str, Tensor], first: str) -> str:
        """Prefer a node that a merging layer is likely to take."""
        alike = [name for name in tensors if tensors[name].shape == tensors[first].shape]
        return self.random.choice(alike if self.random.random() < 0.7 else list(tensors))

    def _append(
        self, nodes: list[dict[str, Any]], tensors: dict[str, Tensor], proposal: Proposal, inputs: list[str]
    ) -> None:
        assert proposal.made is not None
        name = f"n{len(nodes)}"
        self.used[proposal.kind] += 1
        nodes.append({name: {proposal.kind: proposal.attributes, "inputs": inputs}})
        tensors[name] = Tensor(proposal.made.shape, proposal.made.dtype)

    def _finish(self, nodes: list[dict[str, Any]], tensors: dict[str, Tensor]) -> None:
        read = {name for node in nodes for entry in node.values() for name in entry["inputs"]}
        loose = [name for name in tensors if name not in read]
        flat = []
        for name in loose:
            nodes.append({f"scaled_{name}": {"Rescaling": {"scale": 0.5}, "inputs": [name]}})
            nodes.append({f"flat_{name}": {"Flatten": {}}})
            flat.append(f"flat_{name}")
        if len(flat) > 1:
            nodes.append({"joined": {"Concatenate": {}, "inputs": flat}})
        nodes.append({"out": {"Dense": {"units": "${classes}", "activation": "softmax"}}})

    def attributes(self, kind: str, tensor: Tensor) -> dict[str, Any]:
        """Return random attributes of a layer, mostly small, mostly such as fit the tensor."""
        specs = catalogue().layers[kind]
        chosen = {name: spec for name, spec in specs.items() if spec.get("required") or self.random.random() < 0.3}
        if not self.masks:
            chosen.pop("mask_zero", None)
        return {name: self._value(kind, name, spec, tensor) for name, spec in chosen.items()}

    def _value(self, kind: str, name: str, spec: Spec, tensor: Tensor) -> Any:
        special = _SPECIAL.get((kind, name)) or _SPECIAL.get(("", name))
        if special:
            return special(self.random, tensor)
        match spec["kind"]:
            case "layer":
                return self._nested(kind, tensor)
            case "integer":
                return self.random.randint(max(spec.get("min", 1), 1), 4)
            case "number":
                return round(self.random.uniform(max(spec.get("min", 0), 0.01), min(spec.get("max", 0.9), 0.9)), 3)
            case "numbers":
                length = tensor.shape[-1]
                return self.random.choice([0.5, 2, [round(self.random.random(), 2) for _ in range(length)]])
            case "boolean":
                return self.random.random() < 0.5
            case "choice":
                return self.random.choice(spec["choices"])
            case "activation":
                return self.random.choice(catalogue().activations)
            case "sizes":
                low = spec["min"]
                sizes = [self.random.randint(low, low + 2) for _ in range(spec["rank"])]
                return sizes if self.random.random() < 0.5 else sizes[0]
            case "edges":
                return self._edges(spec["rank"])
        return self._object(spec["kind"], name)

    def _edges(self, rank: int) -> Any:
        def pair() -> list[int]:
            return [self.random.randint(0, 2), self.random.randint(0, 2)]

        if self.random.random() < 0.3:
            return self.random.randint(0, 2)
        if rank == 1:
            return pair()
        return pair() + [1] * (rank - 2) if self.random.random() < 0.4 else [pair() for _ in range(rank)]

    def _object(self, kind: str, attribute: str) -> Any:
        known = catalogue().objects(kind)
        vector = not attribute.startswith(("kernel", "pointwise", "depthwise", "recurrent", "embeddings"))
        square = {"Identity", "IdentityInitializer", "identity"}
        names = [name for name in known if name not in square]
        if vector or attribute.startswith("recurrent"):
            names = [name for name in names if name[0].lower() not in "o" and not name.startswith(("var", "Var"))]
        name = self.random.choice(names)
        plain = {each: spec for each, spec in known[name].attributes.items() if each in ("seed", "stddev", "l1", "l2")}
        return {name: {each: 1 for each in plain if self.random.random() < 0.5}} if self.random.random() < 0.4 else name

    def _nested(self, kind: str, tensor: Tensor) -> Any:
        inner = Tensor(tensor.shape[1:] or (1,), tensor.dtype) if kind == "TimeDistributed" else tensor
        single = [name for name, rule in RULES.items() if rule.inputs == (1, 1) and name not in WRAPPED]
        name = self.random.choice([*WRAPPED.get(kind, single)])
        return {name: self.attributes(name, inner)}


def _axis(rng: random.Random, tensor: Tensor) -> int:
    return rng.choice([-1, -1, *range(-tensor.rank, 0), *range(tensor.rank + 1)])


def _axes(rng: random.Random, tensor: Tensor) -> Any:
    places = list(range(1, tensor.rank + 1))
    return rng.choice([_axis(rng, tensor), sorted(rng.sample(places, rng.randint(1, len(places))))])


def _target(rng: random.Random, tensor: Tensor) -> list[int]:
    shape = rng.sample(tensor.shape, tensor.rank)
    if len(shape) > 1 and rng.random() < 0.5:
        shape = [shape[0] * shape[1], *shape[2:]]
    if rng.random() < 0.4:
        shape[rng.randrange(len(shape))] = -1
    return [*shape, 1] if rng.random() < 0.2 else shape


def _groups(rng: random.Random, tensor: Tensor) -> int:
    return rng.choice([size for size in range(1, 5) if tensor.shape[-1] % size == 0] * 2 + [2])


_SPECIAL: dict[tuple[str, str], Any] = {
    ("", "target_shape"): _target,
    ("", "dims"): lambda rng, tensor: rng.sample(range(1, tensor.rank + 1), tensor.rank),
    ("", "axis"): _axis,
    ("", "axes"): lambda rng, tensor: rng.choice([_axis(rng, tensor), [_axis(rng, tensor), _axis(rng, tensor)]]),
    ("", "groups"): _groups,
    ("", "shared_axes"): lambda rng, tensor: rng.sample(range(1, tensor.rank + 1), rng.randint(1, tensor.rank)),
    ("", "output_shape"): lambda rng, _: rng.choice([3, [2], [2, 2]]),
    ("", "input_dim"): lambda *_: 256,
    ("", "epsilon"): lambda *_: 1e-3,
    **{("LayerNormalization", "axis"): _axes, ("RMSNormalization", "axis"): _axes, ("Softmax", "axis"): _axes},
    ("UnitNormalization", "axis"): _axes,
}


def _size(made: Made) -> int:
    size = 1
    for each in made.shape:
        size *= each
    return size
