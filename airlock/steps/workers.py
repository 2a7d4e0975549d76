"""Several workers of one step: which one a process is.

Whoever starts the workers says how many there are, and which one a process is where it knows: a subprocess is told,
an indexed Job tells its pods. Pods of an older cluster are all alike; they claim a number in the artifact store, where
one document can be created only once.
"""

import os
from collections.abc import Mapping

import msgspec

from airlock.errors import UserError
from airlock.steps.contract import RunInfo
from airlock.stores.artifacts import ArtifactStore

COUNT = "AIRLOCK_WORKERS"
INDEX = ("AIRLOCK_WORKER", "JOB_COMPLETION_INDEX")
HOST = "AIRLOCK_WORKER_HOST"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """One of several processes that run a step together.

    :param index: from 0; the first one's result is the step's.
    :param count: how many there are.
    :param host: address at which the others reach it.
    """

    index: int = 0
    count: int = 1
    host: str = "127.0.0.1"


def this_worker(artifacts: ArtifactStore, run: RunInfo, environment: Mapping[str, str] = os.environ) -> Worker:
    """Say which worker this process is.

    :raises UserError: more processes were started than there are places.
    """
    count, host = int(environment.get(COUNT) or 1), environment.get(HOST) or "127.0.0.1"
    if count == 1:
        return Worker(host=host)
    told = next((environment[name] for name in INDEX if environment.get(name)), None)
    index = int(told) if told is not None else _claim(artifacts, run, count, host)
    return Worker(index=index, count=count, host=host)


def _claim(artifacts: ArtifactStore, run: RunInfo, count: int, host: str) -> int:
    for index in range(count):
        if artifacts.create_document(f"workers/{run.path}/{index}.claim", host.encode()):
            return index
    raise UserError(
        f"All {count} workers of {run.path} are already there.", hint="Start as many pods as AIRLOCK_WORKERS says."
    )
