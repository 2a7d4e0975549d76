"""The artifact store: immutable bytes and trees by digest, and documents written once by name.

``objects/ab/cdef…`` holds content; whoever reads it gets bytes that were hashed on the way out.
``documents/NAME`` holds small JSON documents: specs, results, manifests, cache entries.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from airlock.digests import PREFIX, canonical, digest_bytes, digest_file, short
from airlock.errors import IntegrityError, UserError
from airlock.references import Artifact
from airlock.stores.objects import Objects, S3Objects, open_objects

HINT = "Run the task that made it again with cache=False; that repairs it."
TREE = "application/vnd.airlock.tree+json"


class ArtifactStore:
    """Content-addressed artifacts over :class:`~airlock.stores.objects.Objects`."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def put(self, data: bytes, media_type: str = "application/octet-stream") -> Artifact:
        """Store bytes."""
        digest = digest_bytes(data)
        if not self.objects.create(_key(digest), data) and self.objects.digest(_key(digest)) != digest:
            self.objects.replace(_key(digest), data)
        return Artifact(digest=digest, size=len(data), kind="file", media_type=media_type)

    def put_file(self, path: Path, media_type: str = "application/octet-stream") -> Artifact:
        """Store a file. An object that is already there is checked, and replaced if it was damaged."""
        digest, size = digest_file(path), path.stat().st_size
        key = _key(digest)
        if not self.objects.create(key, path) and self.objects.digest(key) != digest:
            self.objects.replace(key, path.read_bytes())
        return Artifact(digest=digest, size=size, kind="file", media_type=media_type)

    def put_tree(self, folder: Path) -> Artifact:
        """Store every file below a folder and the listing that makes them one artifact."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stored = {path.relative_to(folder).as_posix(): self.put_file(path) for path in files}
        if not stored:
            raise UserError(f"{folder} holds no file to store.", hint="Write the step's output before storing it.")
        listing = {name: {"digest": item.digest, "size": item.size} for name, item in stored.items()}
        tree = self.put(canonical(listing), TREE)
        total = sum(item.size for item in stored.values())
        return Artifact(digest=tree.digest, size=total, kind="tree", media_type=TREE)

    def read(self, digest: str) -> bytes:
        """Return an artifact's bytes, verified."""
        data = self.objects.read(_key(digest))
        _require(digest, None if data is None else digest_bytes(data))
        return data or b""

    def fetch(self, artifact: Artifact, target: Path) -> Path:
        """Copy an artifact to a path (for a tree: a folder), verified; return the path."""
        if artifact.kind == "file":
            return self._fetch_file(artifact.digest, target)
        for name, entry in self.listing(artifact).items():
            path = target / safe_relative(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_file(str(entry["digest"]), path)
        return target

    def listing(self, tree: Artifact) -> dict[str, dict[str, str | int]]:
        """Return a tree's files: name to digest and size."""
        listing: dict[str, dict[str, str | int]] = json.loads(self.read(tree.digest))
        return listing

    def verify(self, artifact: Artifact) -> None:
        """Hash every byte of an artifact where it lies.

        :raises IntegrityError: something is missing or altered.
        """
        digests = [artifact.digest]
        if artifact.kind == "tree":
            digests += [str(entry["digest"]) for entry in self.listing(artifact).values()]
        for digest in digests:
            _require(digest, self.objects.digest(_key(digest)))

    def remove(self, digest: str) -> bool:
        """Remove a file for good; return whether it was there. Only a deletion for privacy does."""
        return self.objects.remove(_key(digest))

    def presigned(self, digest: str, seconds: int) -> str | None:
        """Return a URL at which anybody may read a file for a time; ``None`` where the store cannot sign."""
        if not isinstance(self.objects, S3Objects):
            return None
        return self.objects.presigned(_key(digest), seconds)

    def create_document(self, name: str, data: bytes) -> bool:
        """Write a document that must not exist yet; return whether this call wrote it."""
        return self.objects.create(f"documents/{safe_relative(name)}", data)

    def replace_document(self, name: str, data: bytes) -> None:
        """Write a document that is only a hint; the last writer wins."""
        self.objects.replace(f"documents/{safe_relative(name)}", data)

    def document(self, name: str) -> bytes | None:
        """Return a document's bytes, ``None`` when there is none."""
        return self.objects.read(f"documents/{safe_relative(name)}")

    def documents(self, prefix: str) -> Iterator[str]:
        """Yield the names of the documents below a prefix, sorted."""
        for key in self.objects.keys(f"documents/{safe_relative(prefix)}"):
            yield key.removeprefix("documents/")

    def _fetch_file(self, digest: str, target: Path) -> Path:
        there = self.objects.fetch(_key(digest), target)
        try:
            _require(digest, digest_file(target) if there else None)
        except IntegrityError:
            target.unlink(missing_ok=True)
            raise
        return target


def _require(digest: str, found: str | None) -> None:
    if found is None:
        raise IntegrityError(f"Artifact {short(digest)} is not in the store.", hint=HINT)
    if found != digest:
        raise IntegrityError(f"Artifact {short(digest)} was altered: its bytes hash to {short(found)}.", hint=HINT)


def _key(digest: str) -> str:
    hexadecimal = digest.removeprefix(PREFIX)
    if len(hexadecimal) != 64 or not set(hexadecimal) <= set("0123456789abcdef"):
        raise UserError(f"{digest!r} is not a digest.", hint="A digest is sha256: and 64 lower-case hex digits.")
    return f"objects/{hexadecimal[:2]}/{hexadecimal[2:]}"


def safe_relative(name: str) -> str:
    """Return a relative path that stays inside its folder.

    :raises UserError: it is absolute, empty or climbs out.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise UserError(f"The path {name!r} leaves its folder.", hint="Use relative paths without '..'.")
    return path.as_posix()


def open_artifacts(uri: str) -> ArtifactStore:
    """Open the artifact store at ``file:///…`` or ``s3://…``."""
    return ArtifactStore(open_objects(uri))
