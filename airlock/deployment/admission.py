"""What may be served: a release that is approved and unaltered, laid out in a folder of its own."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from airlock.deployment.child import PACKAGE, RELEASE
from airlock.deployment.package import read_package
from airlock.deployment.release import decode_release
from airlock.digests import PREFIX, short
from airlock.errors import InfrastructureError, IntegrityError, NotApproved
from airlock.governance.approval import require_approval
from airlock.governance.manifest import ReleaseManifest
from airlock.stores.artifacts import ArtifactStore
from airlock.stores.database import Database
from airlock.stores.ledger import Ledger

LOG = logging.getLogger("airlock.reconciler")

# (use case, manifest digest) to nothing; raises NotApproved, or InfrastructureError when it cannot be known now
Approval = Callable[[str, str], None]


class Admission:
    """Lets approved releases in.

    :param folder: where packages are laid out, one folder per release.
    :param approval: verifies decision, signature and ledger.
    """

    def __init__(self, artifacts: ArtifactStore, folder: Path, approval: Approval) -> None:
        self.artifacts = artifacts
        self.folder = folder
        self.approval = approval
        self._approved: set[tuple[str, str]] = set()

    def admit(self, use_case: str, manifest: str) -> Path:
        """Return the folder with the package and its release manifest.

        :raises NotApproved: nobody in the right role approved exactly this, for this use case.
        :raises IntegrityError: the manifest or a file of the package is missing or was altered.
        :raises InfrastructureError: it cannot be known now.
        """
        self._require_approval(use_case, manifest)
        data = self.artifacts.read(manifest)
        release = decode_release(data, manifest)
        if release.use_case != use_case:
            raise NotApproved(
                f"Release {short(manifest)} belongs to {release.use_case!r}, not to {use_case!r}.",
                hint="Deploy it for its own use case.",
            )
        return self._lay_out(manifest, data, release)

    def prune(self, kept: Iterable[str]) -> None:
        """Remove the folders of all releases but these."""
        names = {digest.removeprefix(PREFIX) for digest in kept}
        for path in self.folder.glob("*"):
            if path.name not in names:
                shutil.rmtree(path, ignore_errors=True)

    def _require_approval(self, use_case: str, manifest: str) -> None:
        try:
            self.approval(use_case, manifest)
        except InfrastructureError as error:
            if (use_case, manifest) not in self._approved:
                raise
            LOG.warning("%s: approved when last checked; the ledger cannot be read now: %s", use_case, error)
        self._approved.add((use_case, manifest))

    def _lay_out(self, manifest: str, data: bytes, release: ReleaseManifest) -> Path:
        target = self.folder / manifest.removeprefix(PREFIX)
        if _intact(target, release):
            return target
        shutil.rmtree(target, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
        try:
            self.artifacts.fetch(release.package, staged / PACKAGE)
            (staged / RELEASE).write_bytes(data)
            staged.rename(target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return target


def ledger_approval(database: Database, keys: str, gate: str = "release") -> Approval:
    """Return an approval that asks the ledger for the decision of one gate.

    :param keys: folder with the public keys that decisions are verified with.
    """

    def require(use_case: str, manifest: str) -> None:
        require_approval(Ledger(database), manifest, gate, keys, use_case)

    return require


def _intact(folder: Path, release: ReleaseManifest) -> bool:
    if not (folder / RELEASE).is_file():
        return False
    try:
        read_package(folder / PACKAGE).require(release.package.digest)
    except IntegrityError as error:
        LOG.warning("%s is laid out again: %s", folder, error)
        return False
    return True
