"""The code repository: which commit, and which uncommitted changes, a use case's code comes from."""

import subprocess
from pathlib import Path

from airlock.digests import digest_bytes


class GitHook:
    """Describes the repository that holds a file. Needs the ``git`` command; without it the answer is empty.

    :param path: any file of the repository.
    """

    def __init__(self, path: str) -> None:
        self.folder = Path(path).resolve().parent

    def describe(self) -> dict[str, str]:
        """Return ``commit`` (sha) and ``dirty`` (digest of the difference to it, empty when clean)."""
        commit = self._git("rev-parse", "HEAD")
        if not commit:
            return {"commit": "", "dirty": ""}
        difference = self._git("diff", "HEAD", "--", ".")
        return {"commit": commit.strip(), "dirty": digest_bytes(difference.encode()) if difference else ""}

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        except FileNotFoundError:
            return ""
        return answer.stdout if answer.returncode == 0 else ""
