"""What is said about addresses that cannot be listened on."""

import socket

import pytest

from headrace.errors import CommandError
from headrace.ports import bind, free_port, url_of


def test_a_port_in_use_is_named_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"port {port} of 127.0.0.1 is in use") as refused:
            bind("127.0.0.1", port)
    assert "--port" in refused.value.hint


def test_a_free_port_is_free() -> None:
    port = free_port()
    with bind("127.0.0.1", port) as bound:
        assert bound.getsockname() == ("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CommandError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", free_port())


def test_nobody_is_let_in_before_a_gateway_listens() -> None:
    with bind("127.0.0.1", 0) as bound, socket.socket() as client:
        with pytest.raises(ConnectionRefusedError):
            client.connect(bound.getsockname())
        bound.listen()
        client.connect(bound.getsockname())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_urls_lead_to_the_gateway(host: str, url: str) -> None:
    assert url_of(host, 80) == url
