"""The least one can write: FastAPI, ONNX Runtime, one handler of the v2 endpoint, no check: ``bare.py MODEL PORT``."""

import json
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request

settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], settings)
app = FastAPI()


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: Request):
    """Answer one request."""
    tensor = json.loads(await request.body())["inputs"][0]
    image = np.array(tensor["data"], np.uint8).reshape(tensor["shape"])
    (found,) = session.run(None, {"image": image})
    data = found.ravel().tolist()
    output = {"name": "probabilities", "datatype": "FP32", "shape": list(found.shape), "data": data}
    return {"model_name": name, "outputs": [output]}


@app.get("/v2/health/ready")
async def ready():
    """Answer that it is there."""
    return {"ready": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
