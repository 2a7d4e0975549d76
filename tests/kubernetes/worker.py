"""A worker that can be killed: ``python -m tests.kubernetes.worker STATE TASK WHAT VALUE [COMPUTE]``."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.kubernetes.probe import ProbePodOperator
from tests.operators.conftest import FakeStateStore, context


class FileStateStore(FakeStateStore):
    """A task state store that outlives its worker."""

    def __init__(self, path: Path) -> None:
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self.path = path

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self))
        fresh.rename(self.path)


def work(state: Path, task: str, what: str, value: int, attempt: int = 1, compute: str = "test") -> Any:
    """Execute the operator as a worker does; return what it gives."""
    operator = ProbePodOperator(what=what, value=value, task_id=task, compute=compute)
    return operator.execute(context(task, attempt, state=FileStateStore(state)))


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), compute=(sys.argv[5:] or ["test"])[0])
