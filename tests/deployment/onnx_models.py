"""Tiny ONNX models of every form: written node by node, so that no TensorFlow is needed."""

from collections.abc import Sequence

from onnx import TensorProto, helper

TYPES = {"uint8": TensorProto.UINT8, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
Tensors = dict[str, tuple[str, list[int]]]
"""Dtype and shape of one sample, by name."""


def onnx_model(inputs: Tensors, outputs: Tensors, nodes: Sequence[tuple[str, list[str], list[str]]]) -> bytes:
    """Return a model.

    :param nodes: operator, its inputs, its outputs; ``Cast`` is to float32.
    """
    made = [
        helper.make_node(kind, given, taken, **({"to": TensorProto.FLOAT} if kind == "Cast" else {}))
        for kind, given, taken in nodes
    ]
    graph = helper.make_graph(made, "tiny", _infos(inputs), _infos(outputs))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def same(dtype: str, shape: list[int]) -> bytes:
    """Return a model whose output ``y`` is its input ``x``."""
    return onnx_model({"x": (dtype, shape)}, {"y": (dtype, shape)}, [("Identity", ["x"], ["y"])])


def _infos(tensors: Tensors) -> list[object]:
    return [
        helper.make_tensor_value_info(name, TYPES[dtype], ["N", *shape]) for name, (dtype, shape) in tensors.items()
    ]
