"""Large outputs as HDF5 files, each at a URL that nobody guesses, for a while, in a folder that does not grow."""

import secrets
import shutil
import tempfile
import time
from pathlib import Path

from airlock.deployment.protocol import Tensors
from airlock.errors import ResourceError

SUFFIX = ".h5"
MEDIA_TYPE = "application/x-hdf5"


class LargeOutputs:
    """A folder of its own for one server.

    :param most: bytes of files.
    :param seconds: how long each is there.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._folder: Path | None = None

    def write(self, outputs: Tensors) -> str:
        """Write a file with one dataset per output and return its name.

        :raises ResourceError: the files that are still there leave no room.
        """
        import h5py

        folder = self._made()
        self._expire()
        size = sum(values.nbytes for values in outputs.values())
        if size + sum(path.stat().st_size for path in folder.iterdir()) > self.most:
            raise ResourceError("There is no room for this output now.", hint="Ask again later.")
        name = secrets.token_urlsafe(24) + SUFFIX
        with h5py.File(folder / name, "w") as file:
            for key, values in outputs.items():
                file.create_dataset(key, data=values)
        return name

    def read(self, name: str) -> bytes | None:
        """Return a file's content; ``None`` when there is none of this name, or not any more."""
        self._expire()
        if self._folder is None or name not in {path.name for path in self._folder.iterdir()}:
            return None
        return (self._folder / name).read_bytes()

    def close(self) -> None:
        """Remove all of them."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _made(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="airlock-outputs-"))
        return self._folder

    def _expire(self) -> None:
        oldest = time.time() - self.seconds
        for path in self._folder.iterdir() if self._folder else ():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
