"""Says who holds a port before a service fails on it."""

import socket
from collections.abc import Mapping

import psutil

from airlock.errors import UserError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Say whether a service could listen on 127.0.0.1:``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Say whether something accepts connections on 127.0.0.1:``port``."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def holder(port: int) -> str:
    """Name the process that listens on a port, as people would look for it."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process of another user"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            return _process(connection.pid)
    return "a process that cannot be seen from here"


def require_free(ports: Mapping[str, int]) -> None:
    """Check every port before anything starts.

    :param ports: service to the port it needs.
    :raises UserError: one is taken; the message names port, service and holder.
    """
    for service, port in ports.items():
        if not is_free(port):
            raise UserError(
                f"Port {port}, which {service} needs, is held by {holder(port)}.",
                hint="Stop that process or choose another base with AIRLOCK_PORT.",
            )


def _process(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        command = " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return f"process {pid}"
    return f"process {pid} ({command[:120]})"
