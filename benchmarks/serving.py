"""A served model against those who serve models too: ``mlflow models serve``, BentoML, and bare FastAPI.

The same network with the same weights, one process each, one thread for inference, wrk on loopback, turn by turn in
the same minutes. Airlock serves with everything on: limits, metrics, and every prediction noted for the scoring store.
Needs ``wrk``. The rivals get virtual environments of their own, kept where ``AIRLOCK_BENCH_CACHE`` names a folder.
"""

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import psutil
from reporting import report

from airlock.deployment.child import Child, free_port
from airlock.deployment.options import Options

HERE = Path(__file__).parent
RIVALS = HERE / "rivals"
SECONDS, ROUNDS, CONNECTIONS = 4, 5, 16
MANY = 64
CLASSES = [str(digit) for digit in range(10)]
PACKAGES = {
    "bare": ["fastapi", "uvicorn", "uvloop", "httptools", "onnxruntime", "numpy"],
    "bentoml": ["bentoml", "onnxruntime", "numpy"],
    "mlflow": ["mlflow<3.18", "onnxruntime", "onnx"],
}
TRANSFORM = b"""
import numpy as np


def transform(image):
    return np.asarray(image.convert("L"), dtype=np.uint8)[..., np.newaxis]
"""


class Load(NamedTuple):
    """What wrk saw: answers a second, milliseconds that 99 % of them took at most."""

    rate: float
    p99: float


class Target(NamedTuple):
    """Where to send what."""

    url: str
    body: bytes


def main() -> int:
    """Measure and print."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: `apt-get install wrk`")
        return 1
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        pythons = environments(Path(os.environ.get("AIRLOCK_BENCH_CACHE", folder)))
        digits = Model(folder / "digits", "digits", side=8, pools=1, units=128, python=pythons["mlflow"])
        compare(digits, pythons, stack)
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as name:
        fashion = Model(Path(name), "fashion", side=28, pools=2, units=1024, python=pythons["mlflow"])
        batching(fashion)
    return 0


class Model:
    """One network of a use case with seeded weights, as LiteRT, as ONNX, and as a release.

    :param pools: how many of its convolutions are pooled.
    :param python: of an environment that has onnx.
    """

    def __init__(self, folder: Path, name: str, side: int, pools: int, units: int, python: Path) -> None:
        self.folder, self.name, self.side = folder, name, side
        folder.mkdir(exist_ok=True)
        self.onnx = folder / "model.onnx"
        weights = folder / "weights.npz"
        make = [sys.executable, str(HERE / "serving.py"), "make", name, str(folder), str(side), str(pools), str(units)]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([python, RIVALS / "make_onnx.py", weights, self.onnx], check=True)
        self.image = np.random.default_rng(7).integers(0, 255, (1, side, side, 1)).astype(np.uint8)
        self.manifest = (folder / "manifest").read_text()

    @property
    def request(self) -> bytes:
        """An inference request of the Open Inference Protocol v2."""
        tensor = {
            "name": "image",
            "datatype": "UINT8",
            "shape": list(self.image.shape),
            "data": self.image.ravel().tolist(),
        }
        return msgspec.json.encode({"inputs": [tensor]})


def make(name: str, folder: Path, side: int, pools: int, units: int) -> None:
    """Build network, package and release. In a process of its own: it holds TensorFlow."""
    import io

    from PIL import Image

    from airlock.deployment.building import Given, Parts, build_package, code_of
    from airlock.deployment.config import PackageConfig
    from airlock.deployment.inputs import ImageInput
    from airlock.deployment.outputs import Probabilities
    from airlock.digests import digest_bytes
    from airlock.governance.manifest import ReleaseManifest
    from airlock.model.backend import seed_everything
    from airlock.model.network import Network
    from airlock.references import Artifact

    seed_everything(7)
    found = next((HERE.parent / "dags" / name).glob("network.*"))
    network = Network(found, (side, side, 1), len(CLASSES), {"units": units})
    model = network.build()
    np.savez(folder / "weights.npz", *model.get_weights(), pools=pools, side=side)
    exported = folder / "model.tflite"
    model.export(exported, format="litert", verbose=False)
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 100, np.uint8)).save(file, "PNG")
    code = code_of("preprocessing.py", TRANSFORM)
    image = ImageInput(name="image", mode="L", shape=[side, side, 1], preprocessing=code)
    config = PackageConfig(
        name=name,
        use_case=name,
        inputs=[image],
        outputs=[Probabilities(classes=CLASSES)],
        manifest="sha256:" + "0" * 64,
    )
    sample = Given(label="0", sent={"image": file.getvalue()})
    parts = Parts(
        config=config, model=exported.read_bytes(), code={code.file: TRANSFORM}, licence=b"free", samples=[sample]
    )
    package = build_package(parts)
    package.write(folder / "package")
    nothing = Artifact(digest="sha256:" + "0" * 64, size=0, kind="file", media_type="")
    release = ReleaseManifest(
        use_case=name, classes=CLASSES, candidate=config.manifest, model=nothing, comparison=nothing, metrics={},
        package=Artifact(digest=package.digest, size=0, kind="tree", media_type=""),
    )  # fmt: skip
    data = msgspec.json.encode(release)
    (folder / "release.json").write_bytes(data)
    (folder / "manifest").write_text(digest_bytes(data))


def compare(model: Model, pythons: dict[str, Path], stack: ExitStack) -> None:
    """Measure all servers of one model, turn by turn."""
    targets = {
        "airlock": stack.enter_context(airlock(model, Options())),
        "bare": stack.enter_context(bare(model, pythons["bare"])),
        "bentoml": stack.enter_context(bentoml(model, pythons["bentoml"])),
        "mlflow": stack.enter_context(mlflow(model, pythons["mlflow"])),
    }
    require_same(targets)
    found: dict[str, list[Load]] = {name: [] for name in targets}
    for number in range(ROUNDS + 1):
        for name, target in targets.items():
            load = wrk(target, CONNECTIONS)
            if number:  # the first round warms up
                found[name].append(load)
    for name, loads in found.items():
        print(f"{name}: {[round(load.rate) for load in loads]} requests/s, p99 {[load.p99 for load in loads]} ms")
    ours = found["airlock"]
    for name, least in (("mlflow", 3.0), ("bentoml", 3.0), ("bare", 0.9)):
        rates = [mine.rate / theirs.rate for mine, theirs in zip(ours, found[name], strict=True)]
        report(f"serving_rate_over_{name}", statistics.median(rates), least, at_most=False)
    slower = [mine.p99 / theirs.p99 for mine, theirs in zip(ours, found["bare"], strict=True)]
    report("serving_p99_over_bare", statistics.median(slower), 1.2)


def batching(model: Model) -> None:
    """Measure what batches bring where many ask at once."""
    rates: dict[int, list[float]] = {}
    with ExitStack() as stack:
        targets = {most: stack.enter_context(airlock(model, Options(batch=most), quiet=True)) for most in (1, 32)}
        for _ in range(ROUNDS):
            for most, target in targets.items():
                rates.setdefault(most, []).append(wrk(target, MANY).rate)
    print(
        f"{MANY} clients: alone {[round(r) for r in rates[1]]}, in batches {[round(r) for r in rates[32]]} requests/s"
    )
    gains = [together / alone for alone, together in zip(rates[1], rates[32], strict=True)]
    report("serving_batched_over_unbatched", statistics.median(gains), 1.5, at_most=False)


@contextmanager
def airlock(model: Model, options: Options, quiet: bool = False) -> Iterator[Target]:
    """Serve with Airlock; report start and memory."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "options.json"
        path.write_bytes(msgspec.json.encode(options))
        arguments = ["--options", str(path), "--spool", str(Path(name) / "spool" / "release")]

        def start() -> tuple[Child, float]:
            child = Child(model.folder, model.manifest, model.name, Path(name) / "log", arguments)
            while not child.ready():
                assert child.alive(), child.obituary()
                time.sleep(0.01)
            return child, child.age

        starts = []
        for _ in range(1 if quiet else 3):
            child, seconds = start()
            starts.append(seconds)
            child.stop() if len(starts) < (1 if quiet else 3) else None
        try:
            yield Target(f"{child.url}/v2/models/{model.name}/infer", model.request)
        finally:
            if not quiet:
                report("serving_cold_start_seconds", min(starts), 2.0)
                report("serving_resident_megabytes", psutil.Process(child.pid).memory_info().rss / 1e6, 150)
            child.stop()


@contextmanager
def bare(model: Model, python: Path) -> Iterator[Target]:
    """Serve with FastAPI and nothing else."""
    port = free_port()
    with running([python, RIVALS / "bare.py", model.onnx, str(port)], f"http://127.0.0.1:{port}/v2/health/ready"):
        yield Target(f"http://127.0.0.1:{port}/v2/models/{model.name}/infer", model.request)


@contextmanager
def bentoml(model: Model, python: Path) -> Iterator[Target]:
    """Serve with BentoML."""
    port = free_port()
    command = [python, "-m", "bentoml", "serve", "bento:Digits", "--working-dir", RIVALS, "--port", str(port),
               "--host", "127.0.0.1"]  # fmt: skip
    private = {"MODEL": str(model.onnx), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(model.folder / "bento")}
    with running(command, f"http://127.0.0.1:{port}/readyz", private):
        body = msgspec.json.encode({"image": model.image.tolist()})
        yield Target(f"http://127.0.0.1:{port}/infer", body)


@contextmanager
def mlflow(model: Model, python: Path) -> Iterator[Target]:
    """Serve with ``mlflow models serve``."""
    port = free_port()
    saved = model.folder / "mlflow"
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": (model.folder / "runs").as_uri()}
    subprocess.run([python, RIVALS / "log_mlflow.py", model.onnx, saved, str(model.side)], check=True,
                   env=os.environ | quiet, capture_output=True)  # fmt: skip
    command = [python, "-m", "mlflow", "models", "serve", "-m", saved, "-p", str(port), "-h", "127.0.0.1",
               "--env-manager", "local", "--workers", "1"]  # fmt: skip
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    with running(command, f"http://127.0.0.1:{port}/ping", quiet | {"PATH": path}):
        body = msgspec.json.encode({"inputs": model.image.tolist()})
        yield Target(f"http://127.0.0.1:{port}/invocations", body)


@contextmanager
def running(command: list[Any], ready: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """Run a server until the end of the block, from when it is ready."""
    # Only what Python needs: a rival must not import this checkout.
    private = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (environment or {})
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([str(part) for part in command], env=private, stdout=log, stderr=log,
                                   start_new_session=True)  # fmt: skip
        try:
            wait(lambda: httpx.get(ready, trust_env=False).is_success, process, log)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Any) -> None:
    """Wait until a server is ready; fail with its log when it ends or takes minutes."""
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    log.seek(0)
    raise RuntimeError(f"{process.args} is not ready: {log.read()[-2000:].decode(errors='replace')}")


def require_same(targets: dict[str, Target]) -> None:
    """Make sure that all servers give the same probabilities: otherwise they do not do the same work."""
    answers = {}
    for name, target in targets.items():
        reply = httpx.post(
            target.url, content=target.body, headers={"Content-Type": "application/json"}, trust_env=False
        )
        assert reply.is_success, f"{name}: {reply.text[:300]}"
        answers[name] = numbers(reply.json())
    for name, values in answers.items():
        assert np.allclose(values, answers["airlock"], atol=1e-4), f"{name}: {values}, not {answers['airlock']}"


def numbers(document: Any) -> list[float]:
    """Return the ten probabilities in an answer, whatever its form."""
    while isinstance(document, dict):
        document = (
            document.get("outputs") or document.get("predictions") or document.get("data") or document["probabilities"]
        )
        if isinstance(document, list) and isinstance(document[0], dict):
            document = document[0].get("data") or document[0]
    return list(np.ravel(document))


def wrk(target: Target, connections: int) -> Load:
    """Load a server for some seconds; every answer must be a success."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write('wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n')
        script.write(f"wrk.body = [==[{target.body.decode()}]==]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script.name, target.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return Load(rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit])


def environments(folder: Path) -> dict[str, Path]:
    """Make a virtual environment for each rival; return their interpreters."""
    uv = Path(sys.executable).with_name("uv")
    pythons = {}
    for name, packages in PACKAGES.items():
        place = folder / name
        pythons[name] = place / "bin" / "python"
        if not (place / "ready").exists():
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", pythons[name], *packages], check=True)
            (place / "ready").touch()
    return pythons


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        _, _, name, folder, side, pools, units = sys.argv
        make(name, Path(folder), int(side), int(pools), int(units))
    else:
        sys.exit(main())
