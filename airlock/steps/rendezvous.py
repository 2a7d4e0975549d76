"""How the workers of one step find each other: each leaves its address in the artifact store and reads the others'."""

import socket
import time

import msgspec

from airlock.errors import InfrastructureError
from airlock.steps.context import StepContext

POLL = 0.5


class Rendezvous(msgspec.Struct, frozen=True, kw_only=True):
    """The workers of a step.

    :param index: this one.
    :param addresses: ``host:port`` of each, in order; the port of this one is free to be listened on.
    """

    index: int
    addresses: list[str]


def rendezvous(context: StepContext, timeout: float = 600) -> Rendezvous | None:
    """Meet the other workers; ``None`` when this one works alone.

    :param timeout: seconds to wait for the others, whose pods may still pull their image.
    :raises InfrastructureError: they did not all come.
    """
    worker = context.worker
    if worker.count == 1:
        return None
    folder = f"workers/{context.run.path}"
    mine = f"{worker.host}:{free_port()}"
    context.artifacts.create_document(f"{folder}/{worker.index}.address", mine.encode())
    return Rendezvous(index=worker.index, addresses=_addresses(context, folder, time.monotonic() + timeout))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _addresses(context: StepContext, folder: str, deadline: float) -> list[str]:
    names = [f"{folder}/{index}.address" for index in range(context.worker.count)]
    found: dict[str, str] = {}
    while True:
        for name in names:
            if name not in found and (address := context.artifacts.document(name)):
                found[name] = address.decode()
        if len(found) == len(names):
            return [found[name] for name in names]
        if time.monotonic() > deadline:
            raise InfrastructureError(
                f"Only {len(found)} of {len(names)} workers came to {folder}.",
                hint="The others found no place or could not start: see their states; a retry starts all anew.",
            )
        time.sleep(POLL)
