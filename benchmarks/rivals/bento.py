"""The same model as a BentoML service; the file is named by ``MODEL``."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Digits:
    """Answers with probabilities."""

    def __init__(self) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], settings)

    @bentoml.api
    def infer(self, image: np.ndarray) -> np.ndarray:
        """Answer one request."""
        return self.session.run(None, {"image": image.astype(np.uint8)})[0]
