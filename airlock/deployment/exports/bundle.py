"""What an export holds: the package as it was approved, tensors of its samples, and what runs it elsewhere."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airlock.deployment.child import RELEASE
from airlock.deployment.kubernetes.documents import Placed, documents, serverless
from airlock.deployment.kubernetes.targets import ClusterTarget
from airlock.deployment.package import Package
from airlock.digests import short
from airlock.errors import UserError

if TYPE_CHECKING:
    from airlock.deployment.inputs import AnyInput
    from airlock.deployment.outputs import Probabilities

HERE = Path(__file__).parent
DTYPES = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}
Files = dict[str, bytes]


def edge(package: Package, release: bytes) -> Files:
    """The package and one Python file that runs it with LiteRT and numpy alone, and checks it against its samples."""
    tensors, _ = _samples(package)
    return package.files | tensors | {RELEASE: release, "run.py": (HERE / "run.py").read_bytes()}


def cpp(package: Package, release: bytes) -> Files:
    """The package and a CMake project that runs it on OpenVINO; its test compares the samples' answers.

    The program takes tensors, not pictures: preprocessing is the use case's own Python, and stays whose picture it is.
    """
    tensors, stated = _samples(package)
    ours = {name: (HERE / name).read_bytes() for name in ("main.cpp", "CMakeLists.txt")}
    _, answer = _simple(package)
    tolerance = f"{answer.tolerance}\n".encode()
    made = {"airlock_model.hpp": _header(package), "tolerance.txt": tolerance, RELEASE: release}
    return package.files | tensors | stated | ours | made


def manifests(placed: Placed, target: ClusterTarget, artifacts: str, *, idle: bool) -> Files:
    """Documents for a cluster, as ``kubectl apply -f`` takes them.

    :param idle: a Knative Service, of which none runs while nobody asks; otherwise Deployment, Service and autoscaler.
    """
    found = [serverless(placed, target, artifacts)] if idle else documents(placed, target, artifacts)
    listed: dict[str, Any] = {"apiVersion": "v1", "kind": "List", "items": found}
    return {f"{placed.name}.json": json.dumps(listed, indent=2).encode() + b"\n"}


BUNDLES: Mapping[str, Callable[[Package, bytes], Files]] = {"edge": edge, "cpp": cpp}


def write(files: Files, out: Path) -> None:
    """Write files into a new folder, or into a ``.tar`` whose bytes depend on nothing but them.

    :raises UserError: there is something already.
    """
    if out.exists():
        raise UserError(f"{out} exists.", hint="Name a folder or file that does not.")
    if out.suffix != ".tar":
        Package(files).write(out)
        return
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))


def _simple(package: Package) -> "tuple[AnyInput, Probabilities]":
    """The one input and the one output of what these runners know.

    :raises UserError: the package has more, or another engine.
    """
    config = package.config
    answer = config.probabilities
    if config.engine != "litert" or len(config.inputs) != 1 or answer is None or len(config.outputs) != 1:
        raise UserError(
            f"{config.name} runs on {config.engine} with {len(config.inputs)} inputs, {len(config.outputs)} outputs.",
            hint="The bundles run LiteRT files with one input and probabilities; serve it with the image instead.",
        )
    return config.inputs[0], answer


def _samples(package: Package) -> tuple[Files, Files]:
    """Tensors of the samples, prepared as for serving, and the answers that are stated for them."""
    import numpy as np

    from airlock.deployment.served import ServedModel

    given, answer = _simple(package)
    served = ServedModel(package)
    tensors, stated = {}, {}
    for sample in package.samples:
        name = f"{Path(sample.file).stem}.npy"
        prepared = served.prepare(package.sent(sample), sample.types, sample.file)
        tensors[f"tensors/{name}"] = _npy(prepared[given.name])
        stated[f"stated/{name}"] = _npy(np.asarray(sample.outputs[answer.name], np.float32))
    return tensors, stated


def _npy(array: Any) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _header(package: Package) -> bytes:
    config = package.config
    given, answer = _simple(package)
    classes = ", ".join(json.dumps(name) for name in answer.classes)
    shape = ", ".join(map(str, given.shape))
    return f"""// {config.use_case}, packaged from candidate {short(config.manifest)}.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#define AIRLOCK_DTYPE "{DTYPES[given.dtype]}"

namespace airlock {{
inline const std::vector<size_t> shape{{{shape}}};  // of one sample
inline const std::vector<std::string> classes{{{classes}}};
}}  // namespace airlock
""".encode()
