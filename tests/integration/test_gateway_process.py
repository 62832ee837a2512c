"""`python -m gateway` by itself: when it begins to listen, and how it stops."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import servers
from tests.platform import running

HEAD = b"HTTP/1.1 200 OK\r\n"


def gateway_in(folder: Path, port: int, **settings: str) -> dict[str, str]:
    return {
        "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
        "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
        "HEADRACE_GATEWAY_PORT": str(port),
        **{f"HEADRACE_GATEWAY_{name.upper()}": value for name, value in settings.items()},
    }


@contextmanager
def gateway(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """One that listens, over an empty registry."""
    port = servers.free_port()
    env = gateway_in(folder, port, **settings)
    subprocess.run([sys.executable, "-m", "storage.migrate"], env=os.environ | env, check=True)
    with running("gateway", env, folder / "log") as process:
        servers.wait_for(lambda: servers.listening(port), process, folder / "log")
        yield process, port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def ask(client: socket.socket, path: str = "/v2") -> bytes:
    """The answer's head and body, as they come."""
    client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    said = b""
    while b"\r\n\r\n" not in said or not said.endswith(b"}"):
        more = client.recv(65536)
        assert more, said
        said += more
    return said


def is_closed(client: socket.socket) -> bool:
    return client.recv(1) == b""


def test_the_first_answer_is_right_as_nobody_is_let_in_before_the_registry_was_read(tmp_path: Path) -> None:
    with gateway(tmp_path) as (_, port):
        answer = httpx.get(f"http://127.0.0.1:{port}/v2/models/none")
        assert (answer.status_code, answer.json()) == (404, {"error": "no model 'none'"})


def test_a_registry_that_is_away_keeps_it_from_listening_for_the_stated_time_only(tmp_path: Path) -> None:
    port, away = servers.free_port(), servers.free_port()
    env = gateway_in(tmp_path, port, start_timeout_s="1")
    env["HEADRACE_DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{away}/none"
    with running("gateway", env, tmp_path / "log") as process:
        servers.wait_for(lambda: servers.listening(port), process, tmp_path / "log")
        assert httpx.get(f"http://127.0.0.1:{port}/v2/health/live").status_code == 200
        ready = httpx.get(f"http://127.0.0.1:{port}/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"error": "the registry has not been read yet"})
    assert "listening without it" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_while_it_waits_for_the_registry_it_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        env = gateway_in(tmp_path, 0, start_timeout_s="600")
        env["HEADRACE_DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{hangs.getsockname()[1]}/none"
        with running("gateway", env, tmp_path / "log") as process:
            hangs.settimeout(30)
            with hangs.accept()[0]:  # it has asked, and gets no answer
                process.send_signal(number)
                process.wait(30)


def test_told_to_stop_it_lets_nobody_in_and_ends_each_connection_with_an_answer(tmp_path: Path) -> None:
    with gateway(tmp_path) as (process, port):
        with connect(port) as busy, connect(port) as idle:
            for client in (busy, idle):
                assert b"connection: close" not in ask(client)
            process.send_signal(signal.SIGTERM)
            servers.wait_for(lambda: not servers.listening(port), process, tmp_path / "log")
            said = ask(busy)
            assert said.startswith(HEAD)
            assert b"\r\nconnection: close\r\n" in said
            assert is_closed(busy)
            assert is_closed(idle)  # after a while, without having asked
        assert process.wait(30) == -signal.SIGTERM


def test_with_nobody_connected_it_stops_at_once(tmp_path: Path) -> None:
    with gateway(tmp_path) as (process, port):
        with connect(port) as client:
            ask(client)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    assert "Traceback" not in (tmp_path / "log").read_text()
