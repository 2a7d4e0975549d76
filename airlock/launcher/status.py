"""What runs, since when, and how much memory it really takes."""

import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from airlock.launcher.layout import DEFAULT_PORT, Layout, Ports
from airlock.launcher.postgres import EmbeddedPostgres
from airlock.launcher.services import NAMES, OPTIONAL, POSTGRES
from airlock.launcher.starting import process_of
from airlock.settings import load_settings

MIB = 1 << 20


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One service.

    :param pid: its first process; ``None`` when it does not run.
    :param state: ``running``; ``stopped``; ``broken``: the first process is gone, others are left.
    :param port: TCP port on 127.0.0.1, if it has one.
    :param uptime: seconds.
    :param processes: how many it consists of.
    :param memory: PSS of all of them in MiB: shared pages are counted once, in parts.
    """

    name: str
    pid: int | None
    state: str
    port: int | None
    uptime: float
    processes: int
    memory: float


def status(home: Path) -> list[ServiceStatus]:
    """Return every service of the stack, running or not."""
    layout = Layout(home.expanduser().absolute())
    ports = _ports(layout)
    rows = [_service(name, layout, ports.of_services()) for name in NAMES] + [_postgres(layout, ports.postgres)]
    return [row for row in rows if row.name not in OPTIONAL or row.state != "stopped"]


def total_memory(rows: list[ServiceStatus]) -> float:
    """Return the PSS of the whole stack in MiB."""
    return sum(row.memory for row in rows)


def print_status(home: Path, console: Console) -> None:
    """Show a table of the services and the memory of them all."""
    rows = status(home)
    table = Table("service", "state", "pid", "port", "uptime", "processes", "PSS MiB")
    for row in rows:
        uptime = f"{row.uptime:.0f} s" if row.pid else ""
        memory = f"{row.memory:.0f}" if row.processes else ""
        table.add_row(row.name, row.state, _text(row.pid), _text(row.port), uptime, _text(row.processes), memory)
    console.print(table)
    console.print(f"memory: {total_memory(rows):.0f} MiB (sum of PSS)")


def _text(number: int | None) -> str:
    return str(number) if number else ""


def _service(name: str, layout: Layout, ports: dict[str, int]) -> ServiceStatus:
    process = process_of(name, layout)
    leader = process.leader()
    members = process.members()
    return ServiceStatus(
        name=name,
        pid=leader.pid if leader else None,
        state="running" if leader else "broken" if members else "stopped",
        port=ports.get(name),
        uptime=_uptime(leader),
        processes=len(members),
        memory=_pss(members),
    )


def _postgres(layout: Layout, port: int) -> ServiceStatus:
    pid = EmbeddedPostgres(layout.postgres, port).pid
    leader = psutil.Process(pid) if pid else None
    members = [leader, *leader.children(recursive=True)] if leader else []
    return ServiceStatus(
        name=POSTGRES,
        pid=pid,
        state="running" if leader else "stopped",
        port=port,
        uptime=_uptime(leader),
        processes=len(members),
        memory=_pss(members),
    )


def _uptime(process: psutil.Process | None) -> float:
    return time.time() - process.create_time() if process else 0.0


def _pss(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.Error):  # it ended meanwhile, or belongs to somebody else
            total += process.memory_full_info().pss
    return total / MIB


def _ports(layout: Layout) -> Ports:
    """Return the ports of the last start."""
    address = load_settings({"AIRLOCK_HOME": str(layout.home)}).airflow
    return Ports.from_base(urlsplit(address).port or DEFAULT_PORT)
