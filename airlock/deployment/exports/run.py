"""Answer with a packaged model: python run.py [FILE ...]; without files, check its own samples.

Needs Python, numpy and ai-edge-litert. A file is a tensor (.npy) as the model takes it; a text works too, and a picture
where Pillow is installed. Each answer is a line of JSON. Exit status 1: a sample is answered otherwise than
airlock.json states.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "airlock.json").read_text(encoding="utf-8"))
INPUT, OUTPUT = CONFIG["inputs"][0], CONFIG["outputs"][0]


def predict(interpreter: Interpreter, tensor: Any) -> Any:
    """Return the probabilities (classes,) of one tensor."""
    wanted = interpreter.get_input_details()[0]
    if tensor.dtype != wanted["dtype"] or tensor.shape != tuple(wanted["shape"][1:]):
        raise SystemExit(f"The tensor is {tensor.dtype} {tensor.shape}, not {wanted['dtype'].__name__} "
                         f"{tuple(int(size) for size in wanted['shape'][1:])}.")  # fmt: skip
    interpreter.set_tensor(wanted["index"], tensor[np.newaxis])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def tensor_of(path: Path) -> Any:
    """Read a tensor, or prepare a picture or a text as training did."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    before, code = INPUT["preprocessing"], dict[str, Any]()
    exec(compile((HERE / before["file"]).read_bytes(), before["file"], "exec"), code)
    return code["transform"](_sample(path), **before["parameters"])


def _sample(path: Path) -> Any:
    if INPUT["kind"] == "text":
        return path.read_text(encoding="utf-8")
    from PIL import Image

    return Image.open(path).convert(INPUT["mode"])


def main(files: list[str]) -> int:
    interpreter = Interpreter(model_path=str(HERE / CONFIG["model"]), num_threads=1)
    interpreter.allocate_tensors()
    for file in files:
        answer = predict(interpreter, tensor_of(Path(file)))
        said = dict(zip(OUTPUT["classes"], map(float, answer), strict=True))
        print(json.dumps({"file": file, "label": OUTPUT["classes"][int(answer.argmax())], "probabilities": said}))
    return 0 if files else check(interpreter)


def check(interpreter: Interpreter) -> int:
    """Compare every sample's answer with the one that is stated."""
    worst = 0.0
    for sample in json.loads((HERE / CONFIG["samples"]).read_text(encoding="utf-8")):
        name = Path(next(iter(sample["files"].values()))).stem
        answer = predict(interpreter, np.load(HERE / "tensors" / f"{name}.npy"))
        worst = max(worst, float(np.abs(answer - np.asarray(sample["outputs"][OUTPUT["name"]], np.float32)).max()))
    same = worst <= OUTPUT["tolerance"]
    print(json.dumps({"same": same, "difference": worst, "tolerance": OUTPUT["tolerance"]}))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
