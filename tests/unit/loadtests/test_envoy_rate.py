"""The workers that Envoy is measured before answer every request whole, in however many pieces it comes."""

import socket

from loadtests.envoy_rate import ANSWER, workers

REQUEST = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: a\r\nContent-Length: 4\r\n\r\nbody"


def answered(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < len(ANSWER):
        data += connection.recv(len(ANSWER))
    return data


def test_each_request_on_a_connection_gets_the_answer() -> None:
    with workers() as ports:
        for port in ports:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                for cut in (len(REQUEST), 10, len(REQUEST) - 2):
                    connection.sendall(REQUEST[:cut])
                    connection.sendall(REQUEST[cut:])
                    assert answered(connection) == ANSWER
                connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: a\r\n\r\n")
                assert answered(connection) == ANSWER


def test_the_answer_is_as_long_as_it_says() -> None:
    head, _, body = ANSWER.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
