"""Answer with a packaged model: python run.py [FILE ...]; without files, check its own samples.

Needs Python, numpy and ai-edge-litert. A file is a tensor (.npy) as the model takes it; a picture works too where
Pillow is installed. Each answer is a line of JSON. Exit status 1: a sample is answered otherwise than airlock.json
states.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "airlock.json").read_text(encoding="utf-8"))


def predict(interpreter: Interpreter, tensor: Any) -> Any:
    """Return the probabilities (classes,) of one tensor (height, width, channels)."""
    wanted = interpreter.get_input_details()[0]
    if tensor.dtype != wanted["dtype"] or tensor.shape != tuple(wanted["shape"][1:]):
        raise SystemExit(f"The tensor is {tensor.dtype} {tensor.shape}, not {wanted['dtype'].__name__} "
                         f"{tuple(int(size) for size in wanted['shape'][1:])}.")  # fmt: skip
    interpreter.set_tensor(wanted["index"], tensor[np.newaxis])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def tensor_of(path: Path) -> Any:
    """Read a tensor, or prepare a picture as training did."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    from PIL import Image

    code: dict[str, Any] = {}
    exec(compile((HERE / CONFIG["preprocessing"]).read_bytes(), CONFIG["preprocessing"], "exec"), code)
    picture = Image.open(path).convert(CONFIG["input"]["mode"])
    return code["transform"](picture, **CONFIG["preprocessing_parameters"])


def main(files: list[str]) -> int:
    interpreter = Interpreter(model_path=str(HERE / CONFIG["model"]), num_threads=1)
    interpreter.allocate_tensors()
    for file in files:
        answer = predict(interpreter, tensor_of(Path(file)))
        said = dict(zip(CONFIG["classes"], map(float, answer), strict=True))
        print(json.dumps({"file": file, "label": CONFIG["classes"][int(answer.argmax())], "probabilities": said}))
    return 0 if files else check(interpreter)


def check(interpreter: Interpreter) -> int:
    """Compare every sample's answer with the one that is stated."""
    worst = 0.0
    for sample in json.loads((HERE / CONFIG["samples"]).read_text(encoding="utf-8")):
        answer = predict(interpreter, np.load(HERE / "tensors" / (Path(sample["file"]).stem + ".npy")))
        worst = max(worst, float(np.abs(answer - np.asarray(sample["probabilities"], np.float32)).max()))
    same = worst <= CONFIG["output"]["tolerance"]
    print(json.dumps({"same": same, "difference": worst, "tolerance": CONFIG["output"]["tolerance"]}))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
