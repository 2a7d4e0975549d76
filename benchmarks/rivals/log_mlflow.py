"""Save an ONNX model as an MLflow model, as its users do: ``log_mlflow.py MODEL.onnx FOLDER SIDE``."""

import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

model, folder, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
image = TensorSpec(np.dtype(np.uint8), (-1, side, side, 1), "image")
options = {"intra_op_num_threads": 1}
signature = ModelSignature(Schema([image]), Schema([TensorSpec(np.dtype(np.float32), (-1, 10), "probabilities")]))
requirements = ["onnx", "onnxruntime"]
mlflow.onnx.save_model(
    onnx.load(model), folder, signature=signature, pip_requirements=requirements, onnx_session_options=options
)
