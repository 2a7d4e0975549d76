"""A port that is taken is reported before anything starts."""

import os
import socket
from collections.abc import Iterator

import pytest

from airlock.errors import UserError
from airlock.launcher.layout import Ports
from airlock.launcher.ports import HOST, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_message_names_port_service_and_holder(taken: int) -> None:
    with pytest.raises(UserError) as caught:
        require_free({"mlflow": taken})
    message = str(caught.value)
    assert f"Port {taken}, which mlflow needs, is held by process {os.getpid()}" in message
    assert "AIRLOCK_PORT" in message


def test_a_port_is_free_again_when_its_holder_is_gone() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
    require_free({"mlflow": port})


def test_six_consecutive_ports() -> None:
    ports = Ports.from_base(9000)
    assert (ports.airflow, ports.mlflow, ports.postgres, ports.serving, ports.logs) == (9000, 9001, 9002, 9003, 9004)
    assert ports.labelling == 9005
