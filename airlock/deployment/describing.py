"""What a server says of its package: the ModelHub.AI endpoints that only read."""

import base64
import io
import zipfile
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.exceptions import HTTPException

from airlock.deployment.package import Package

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can say: the same package is the same archive


class Descriptions:
    """Answers made of the package alone."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.config = package.config
        self.paths: dict[str, Callable[[], dict[str, Any]]] = {
            "/get_config": self.describe_config,
            "/get_legal": self.legal,
            "/get_samples": self.samples,
        }

    def describe_config(self) -> dict[str, Any]:
        """The content of airlock.json."""
        return {"config": msgspec.to_builtins(self.config)}

    def legal(self) -> dict[str, Any]:
        """Licences of code and data, and the licence text."""
        return {"licences": msgspec.to_builtins(self.config.licences), "text": self.package.licence}

    def samples(self) -> dict[str, Any]:
        """The package's samples with what they send (base64) and the outputs to expect."""
        samples = [
            {
                **msgspec.to_builtins(sample),
                "sent": {name: base64.b64encode(data).decode() for name, data in self.package.sent(sample).items()},
            }
            for sample in self.package.samples
        ]
        return {"samples": samples, "tolerance": {each.name: each.tolerance for each in self.config.outputs}}

    def sample(self, named: str) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return contents and media types of one sample.

        :param named: its number, from 0, or its file.
        """
        samples = {sample.file: sample for sample in self.package.samples}
        by_number = dict(zip(map(str, range(len(samples))), samples.values(), strict=True))
        sample = samples.get(named) or by_number.get(named)
        if sample is None:
            raise HTTPException(404, f"There is no sample {named[:80]!r}, only 0 to {len(samples) - 1}.")
        return self.package.sent(sample), sample.types

    def archive(self) -> bytes:
        """The package's files, as a ZIP."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(self.package.files.items()):
                archive.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
        return file.getvalue()
