"""Starts processes and waits for them, with one rule: a service that dies is named, with its last words."""

import time
from collections.abc import Iterable

import msgspec

from airlock.errors import InfrastructureError
from airlock.launcher.layout import Layout
from airlock.launcher.phases import Phases
from airlock.launcher.processes import ServiceProcess
from airlock.launcher.services import AIRFLOW, COMPONENTS, Service

PATIENCE = 600.0
POLL = 0.15


def process_of(name: str, layout: Layout) -> ServiceProcess:
    """Return the handle on a service's processes."""
    forked = name in COMPONENTS
    family = str(layout.run / f"{AIRFLOW}.pid") if forked else ""
    return ServiceProcess(name, run=layout.run, logs=layout.logs, family=family)


class Starting:
    """The services that were started and are not ready yet.

    :param phases: where each start is recorded.
    :param patience: seconds a service may take.
    """

    def __init__(self, layout: Layout, phases: Phases, patience: float = PATIENCE) -> None:
        self.layout = layout
        self.phases = phases
        self.patience = patience
        self._pending: dict[str, Started] = {}

    def launch(self, services: Iterable[Service]) -> None:
        """Start services; what an earlier start left of them is stopped first."""
        for service in services:
            process = process_of(service.name, self.layout)
            process.stop(grace=service.grace)
            self._pending[service.name] = Started(service, process)
            process.start(service.command, service.environment, service.cwd)

    def fork(self, parent: Service, services: list[Service]) -> None:
        """Run a process that forks services off itself; what an earlier start left of them is stopped first.

        :param parent: a job; it finds the plan on its standard input.
        """
        processes = [process_of(service.name, self.layout) for service in services]
        for process, service in zip(processes, services, strict=True):
            process.stop(grace=service.grace)
        started = [Started(service, process) for service, process in zip(services, processes, strict=True)]
        plan = [each.process.fork(each.service.command, each.service.environment, each.service.cwd) for each in started]
        process = process_of(parent.name, self.layout)
        self._pending[parent.name] = Started(parent, process)
        process.start(parent.command, parent.environment, parent.cwd, msgspec.json.encode(plan))
        self.wait(job=parent.name)
        self._pending |= {each.service.name: each for each in started}

    def wait(self, job: str = "") -> None:
        """Wait until everything that was launched is ready, or only until one job has ended.

        :raises InfrastructureError: a service ended, a job failed, or one took longer than ``patience``.
        """
        while job in self._pending if job else self._pending:
            for name, started in list(self._pending.items()):
                if started.is_ready():
                    del self._pending[name]
                    self.phases.ended(name, started.seconds)
                elif started.seconds > self.patience:
                    raise InfrastructureError(
                        f"{name} is not ready after {self.patience:.0f} s.", hint=_last_words(started.process)
                    )
            self.phases.waiting(list(self._pending))
            time.sleep(POLL)


class Started:
    """A process that was started at a time."""

    def __init__(self, service: Service, process: ServiceProcess) -> None:
        self.service = service
        self.process = process
        self.time = time.time()

    @property
    def seconds(self) -> float:
        return time.time() - self.time

    def is_ready(self) -> bool:
        """Say whether a service works or a job has ended well.

        :raises InfrastructureError: the service ended, the job failed.
        """
        alive = self.process.leader() is not None
        if not alive and not (self.service.job and self.process.exit_code() == 0):
            raise _died(self.process)
        return not alive if self.service.job else self.service.ready(self.time)


def _died(process: ServiceProcess) -> InfrastructureError:
    code = process.exit_code()
    how = "" if code is None else f" with exit status {code}"
    return InfrastructureError(f"{process.name} ended{how} while it was being started.", hint=_last_words(process))


def _last_words(process: ServiceProcess) -> str:
    return f"Its log, {process.log}, ends:\n{process.tail()}"
