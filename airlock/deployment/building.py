"""Makes a package: the outputs its samples state are computed by the packaged model itself."""

import io
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from airlock.deployment.config import CONFIG, LICENCE, PackageConfig, Sample
from airlock.deployment.images import decode_image
from airlock.deployment.inputs import AnyInput, Code, ImageInput, TensorInput
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.digests import digest_bytes
from airlock.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n"
NPY = b"\x93NUMPY"
SUFFIXES = {
    "image/png": "png",
    "text/plain": "txt",
    "application/json": "json",
    "application/octet-stream": "bin",
    "application/x-npy": "npy",
}


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A sample to package.

    :param sent: what is sent, by input's name; a tensor as a NumPy file, or as the first type its input accepts.
    :param label: the true class, where there is one.
    """

    sent: dict[str, bytes]
    label: str = ""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a package is made of.

    :param model: content of the model file.
    :param code: content of each preprocessing and postprocessing file that ``config`` names.
    :param licence: text.
    """

    config: PackageConfig
    model: bytes
    code: dict[str, bytes]
    licence: bytes
    samples: list[Given]


def code_of(file: str, content: bytes, parameters: Mapping[str, Any] | None = None) -> Code:
    """Return how ``airlock.json`` names a code file."""
    return Code(file=file, digest=digest_bytes(content), parameters=dict(parameters or {}))


def build_package(parts: Parts) -> Package:
    """Return the package.

    :raises UserError: there is no sample, or the parts contradict each other.
    :raises ModelError: the model answers a sample with what is no answer.
    """
    if not parts.samples:
        raise UserError("There is no sample to package.", hint="The test split must not be empty.")
    config = parts.config
    files = {
        CONFIG: msgspec.json.format(msgspec.json.encode(config)),
        config.model: parts.model,
        LICENCE: parts.licence,
        **parts.code,
    }
    served = ServedModel(Package(files))
    samples = [_sample(served, files, number, given) for number, given in enumerate(parts.samples)]
    files[config.samples] = msgspec.json.format(msgspec.json.encode(samples, enc_hook=np.ndarray.tolist))
    return Package(files)


def _sample(served: ServedModel, files: dict[str, bytes], number: int, given: Given) -> Sample:
    """Return a sample with the package's own answer, and put what it sends into ``files``."""
    sent, types, paths = {}, {}, {}
    inputs = served.config.inputs
    for each in inputs:
        if each.name not in given.sent:
            raise UserError(f"Sample {number} has no input {each.name!r}.", hint="Give every input of each sample.")
        sent[each.name], types[each.name] = _file(given.sent[each.name], each)
        of = "" if len(inputs) == 1 else f"-{each.name}"
        paths[each.name] = f"samples/{number:02}{of}.{SUFFIXES[types[each.name]]}"
        files[paths[each.name]] = sent[each.name]
    outputs = served.values_of(sent, types, next(iter(paths.values())))
    return Sample(files=paths, types=types, label=given.label, outputs=outputs)


def _file(data: bytes, expected: AnyInput) -> tuple[bytes, str]:
    """Return what is packaged for one input, and its MIME type."""
    if isinstance(expected, ImageInput):
        return _png(data, expected), "image/png"
    if isinstance(expected, TensorInput) and data.startswith(NPY):
        return data, "application/x-npy"
    return data, expected.mime_types[0]


def _png(image: bytes, expected: ImageInput) -> bytes:
    if image.startswith(PNG):
        return image
    file = io.BytesIO()
    decode_image(image, expected).save(file, "PNG")
    return file.getvalue()
