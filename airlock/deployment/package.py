"""A package: the folder a model is served from, read once into memory, so that what was hashed is what runs."""

from functools import cached_property
from pathlib import Path

from airlock.deployment.config import CONFIG, LICENCE, PackageConfig, Sample, decode_config, decode_samples
from airlock.deployment.forms import request_of
from airlock.digests import canonical, digest_bytes, short
from airlock.errors import IntegrityError, SourceError, UserError
from airlock.stores.artifacts import safe_relative


class Package:
    """The files of a package.

    :param files: path in the package to content.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    @cached_property
    def digest(self) -> str:
        """The digest the artifact store gives this tree."""
        listing = {name: {"digest": digest_bytes(data), "size": len(data)} for name, data in self.files.items()}
        return digest_bytes(canonical(listing))

    @cached_property
    def config(self) -> PackageConfig:
        return decode_config(self.file(CONFIG))

    @cached_property
    def samples(self) -> list[Sample]:
        return decode_samples(self.file(self.config.samples))

    @property
    def licence(self) -> str:
        return self.file(LICENCE).decode(errors="replace")

    def file(self, name: str) -> bytes:
        """Return a file's content.

        :raises UserError: the package has no such file.
        """
        if name not in self.files:
            raise UserError(f"The package has no file {name!r}.", hint="Build the package again.")
        return self.files[name]

    def sent(self, sample: Sample) -> dict[str, bytes]:
        """Return what a sample sends, by input's name."""
        return {name: self.file(path) for name, path in sample.files.items()}

    def body(self, sample: Sample) -> tuple[bytes, str]:
        """Return a sample as the body of a request, and its content type."""
        return request_of(self.sent(sample), sample.types)

    def require(self, digest: str) -> None:
        """Fail unless this is the package of that digest.

        :raises IntegrityError: a file was changed, added or removed.
        """
        if self.digest != digest:
            raise IntegrityError(
                f"The package hashes to {short(self.digest)}, the release manifest names {short(digest)}.",
                hint="Delete the folder; it is fetched from the artifact store again.",
            )

    def write(self, folder: Path) -> Path:
        """Write every file below a folder and return the folder."""
        for name, data in self.files.items():
            path = folder / safe_relative(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


def read_package(folder: Path) -> Package:
    """Read every file of a package.

    :raises SourceError: there is no such folder.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder.", hint="Give the folder that holds airlock.json.")
    paths = (path for path in folder.rglob("*") if path.is_file())
    return Package({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
