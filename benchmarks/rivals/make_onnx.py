"""Write the benchmark's network as ONNX, from its Keras weights: ``make_onnx.py WEIGHTS.npz MODEL.onnx``.

By hand, because no exporter lives in the same environment as this TensorFlow. Same layers, same weights: uint8
``[n, height, width, 1]`` in, probabilities ``[n, classes]`` out.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main(weights: str, target: str) -> None:
    """Read the weights, write the model."""
    given = np.load(weights)
    names = ["kernel1", "bias1", "kernel2", "bias2", "wide", "wide_bias", "out", "out_bias"]
    arrays = {name: given[f"arr_{at}"].astype(np.float32) for at, name in enumerate(names)}
    for name in ("kernel1", "kernel2"):
        arrays[name] = arrays[name].transpose(3, 2, 0, 1)  # Keras: height, width, in, out
    arrays["scale"] = np.float32(1 / 255)
    pools = int(given["pools"])
    side = int(given["side"])

    def node(kind: str, inputs: list[str], output: str, **settings: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], **settings)

    pad = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        node("Cast", ["image"], "float", to=TensorProto.FLOAT),
        node("Mul", ["float", "scale"], "scaled"),
        node("Transpose", ["scaled"], "planes", perm=[0, 3, 1, 2]),
        node("Conv", ["planes", "kernel1", "bias1"], "conv1", **pad),
        node("Relu", ["conv1"], "relu1"),
        *([node("MaxPool", ["relu1"], "pool1", **pool)] if pools == 2 else []),
        node("Conv", ["pool1" if pools == 2 else "relu1", "kernel2", "bias2"], "conv2", **pad),
        node("Relu", ["conv2"], "relu2"),
        node("MaxPool", ["relu2"], "pool2", **pool),
        node("Transpose", ["pool2"], "last", perm=[0, 2, 3, 1]),  # Keras flattens channels last
        node("Flatten", ["last"], "flat"),
        node("Gemm", ["flat", "wide", "wide_bias"], "hidden"),
        node("Relu", ["hidden"], "relu3"),
        node("Gemm", ["relu3", "out", "out_bias"], "logits"),
        node("Softmax", ["logits"], "probabilities", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", side, side, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", arrays["out"].shape[1]])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
