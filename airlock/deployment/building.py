"""Makes a package: the outputs its samples state are computed by the packaged model itself."""

import io

import msgspec

from airlock.deployment.config import CONFIG, LICENCE, PackageConfig, Sample
from airlock.deployment.images import decode_image
from airlock.deployment.package import Package
from airlock.deployment.served import ServedModel
from airlock.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n"


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a package is made of.

    :param model: content of the ``.tflite`` file.
    :param preprocessing: content of the use case's ``transform.py``.
    :param licence: text.
    :param samples: label and encoded image of each sample.
    """

    config: PackageConfig
    model: bytes
    preprocessing: bytes
    licence: bytes
    samples: list[tuple[str, bytes]]


def build_package(parts: Parts) -> Package:
    """Return the package.

    :raises UserError: there is no sample, or the parts contradict each other.
    """
    if not parts.samples:
        raise UserError("There is no sample to package.", hint="The test split must not be empty.")
    config = parts.config
    files = {
        CONFIG: msgspec.json.format(msgspec.json.encode(config)),
        config.model: parts.model,
        config.preprocessing: parts.preprocessing,
        LICENCE: parts.licence,
    }
    served = ServedModel(Package(files))
    samples = []
    for number, (label, image) in enumerate(parts.samples):
        name = f"samples/{number:02}.png"
        files[name] = _png(image, config)
        row = served.predict(files[name], name)
        samples.append(Sample(file=name, label=label, probabilities=row.tolist()))
    files[config.samples] = msgspec.json.format(msgspec.json.encode(samples))
    return Package(files)


def _png(image: bytes, config: PackageConfig) -> bytes:
    if image.startswith(PNG):
        return image
    file = io.BytesIO()
    decode_image(image, config.input).save(file, "PNG")
    return file.getvalue()
