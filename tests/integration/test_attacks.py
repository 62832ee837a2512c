"""What strangers send, to a real gateway and worker: it is refused with the reason, and others hardly notice.

For how long a process' event loop stood still, and what memory it took, it tells itself (`tests/watched.py`). The
bounds are far above what was seen on a quiet machine, and far below what was seen before there were limits.
"""

import gzip
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from onnx import TensorProto, helper

from tests import servers
from tests.platform import publish
from tests.unit.model_service.graphs import Port, save_graph
from training.export.manifest import write_manifest

MB = 1 << 20
MEMORY = 128 * MB  # for what is in flight, in either process
STALL_S = 0.1
ANSWER_S = 5.0
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Process:
    """A gateway or worker that tells how it fares."""

    url: str
    http: httpx.Client

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = self.http.get("/stalled").json()
        return told

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = JSON) -> httpx.Response:
        return self.http.post(path, content=body, headers=headers)

    def socket(self) -> socket.socket:
        """A connection for which the kernel keeps little that was not read."""
        parts = urlsplit(self.url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        connection.settimeout(30)
        connection.connect((parts.hostname, parts.port))
        return connection

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 20) -> dict[str, Any]:
        give_up = time.monotonic() + seconds
        while not condition(told := self.told()):
            assert time.monotonic() < give_up, told
            time.sleep(0.05)
        return told


@dataclass(frozen=True)
class Attacked:
    gateway: Process
    worker: Process


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """With two models: `double`, and `count`, whose answer is as long as it is told."""
    folder = tmp_path_factory.mktemp("attacked")
    ports = [servers.free_port(), servers.free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    env = os.environ | {
        "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
        "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
        "HEADRACE_GATEWAY_PORT": str(ports[0]),
        "HEADRACE_GATEWAY_MEMORY_BYTES": str(MEMORY),
        "HEADRACE_GATEWAY_REFRESH_S": "0.1",
        "HEADRACE_WORKER_PORT": str(ports[1]),
        "HEADRACE_WORKER_MEMORY_BYTES": str(MEMORY),
        "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
        "HEADRACE_WORKER_POLL_S": "0.1",
        "HEADRACE_WORKER_DRAIN_S": "0",
    }
    subprocess.run([sys.executable, "-m", "storage.migrate"], env=env, check=True)
    with ExitStack() as stack:
        for package in ("gateway", "model_service"):
            command = [sys.executable, "-m", "tests.watched", package]
            process = stack.enter_context(servers.running(command, folder / f"{package}.log", env=env))
        http = [stack.enter_context(httpx.Client(base_url=url, timeout=60)) for url in urls]
        attacked = Attacked(*(Process(url, client) for url, client in zip(urls, http, strict=True)))

        def answers(path: str) -> bool:
            try:
                return http[0].get(path).status_code == 200
            except httpx.TransportError:
                return False

        servers.wait_for(lambda: answers("/v2/health/ready"), process, folder / "model_service.log")
        for make in (_make_double, _make_count):
            made = make(folder)
            publish(http[0], made)
            ready = partial(answers, f"/v2/models/{made.name}/ready")
            servers.wait_for(ready, process, folder / "model_service.log")
        yield attacked


@contextmanager
def quiet(process: Process, *, memory: int, stall: float = STALL_S) -> Iterator[None]:
    """Within the block the loop never stands still for long, and others get their answers; after it the memory is as
    it was, give or take `memory` bytes."""
    before = process.told()
    stop = False

    def ask() -> float:
        longest = 0.0
        with httpx.Client(base_url=process.url, timeout=60) as http:
            while not stop:
                began = time.monotonic()
                assert http.post("/v2/models/double/infer", content=SMALL).status_code == 200
                longest = max(longest, time.monotonic() - began)
        return longest

    with ThreadPoolExecutor(1) as threads:
        longest = threads.submit(ask)
        try:
            yield
        finally:
            stop = True
    after = process.told()
    assert after["seconds"] < stall
    assert longest.result() < ANSWER_S
    process.until(lambda told: told["rss"] - before["rss"] < memory)  # it comes back soon, not at once


def infer(data: bytes) -> bytes:
    return b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":%b}]}' % data


SMALL = infer(b"[1,2,3,4]")


def at_once(count: int, ask: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as threads:
        return [asked.result() for asked in [threads.submit(ask) for _ in range(count)]]


@pytest.mark.parametrize("where", ["gateway", "worker"])
def test_json_that_inflates_a_thousandfold_is_refused(attacked: Attacked, where: str) -> None:
    process: Process = getattr(attacked, where)
    bomb = gzip.compress(infer(b"[" + b"{}," * (20 * MB) + b"{}]"), 9)
    headers = {**JSON, "content-encoding": "gzip"}
    with quiet(process, memory=200 * MB):
        answers = at_once(12, lambda: process.http.post("/v2/models/double/infer", content=bomb, headers=headers))
    assert {answer.status_code for answer in answers} <= {413, 503}
    assert any("200 times its size" in answer.text for answer in answers)


@pytest.mark.parametrize(
    "path", ["/v2/models/double/infer", "/v1/embeddings", "/models/double", "/v2/repository/index"]
)
@pytest.mark.parametrize("value", [b"{}", b"1", b"[]", b'"":0'])
def test_json_of_a_million_values_is_refused_with_the_number(attacked: Attacked, path: str, value: bytes) -> None:
    many = b",".join([value] * 1_300_000)
    body = infer(b"{" + many + b"}" if b":" in value else b"[" + many + b"]")
    with quiet(attacked.gateway, memory=150 * MB):
        answers = at_once(6, lambda: attacked.gateway.post(path, body))
    assert {answer.status_code for answer in answers} == {413}
    if "index" not in path:
        assert "500000 values" in answers[0].text


def test_a_tensor_of_millions_of_empty_texts_is_refused_with_the_number(attacked: Attacked) -> None:
    count = 4 * MB
    entry = {"name": "x", "datatype": "BYTES", "shape": [count], "parameters": {"binary_data_size": 4 * count}}
    head = orjson.dumps({"inputs": [entry]})
    headers = {"inference-header-content-length": str(len(head))}
    with quiet(attacked.gateway, memory=150 * MB):
        answer = attacked.gateway.post("/v2/models/double/infer", head + bytes(4 * count), headers)
    assert answer.status_code == 413
    assert "BYTES may have 500000" in answer.text


def test_an_output_named_ten_thousand_times_is_refused(attacked: Attacked) -> None:
    body = orjson.dumps({**orjson.loads(SMALL), "outputs": [{"name": "y"}] * 10_000})
    with quiet(attacked.gateway, memory=100 * MB):
        answer = attacked.gateway.post("/v2/models/double/infer", body)
    assert answer.status_code == 400
    twice = {**orjson.loads(SMALL), "outputs": [{"name": "y"}] * 2}
    for process in (attacked.gateway, attacked.worker):
        answer = process.post("/v2/models/double/infer", orjson.dumps(twice))
        assert (answer.status_code, "more than once" in answer.text) == (400, True)


@pytest.mark.parametrize("where", ["gateway", "worker"])
def test_bodies_that_are_half_sent_take_what_they_may_and_give_it_back(attacked: Attacked, where: str) -> None:
    process: Process = getattr(attacked, where)
    half = bytes(30 * MB)
    head = (
        b"POST /v2/models/double/infer HTTP/1.1\r\nhost: x\r\nx-request-timeout-ms: 300000\r\n"
        b"content-length: %d\r\n\r\n" % (2 * len(half))
    )

    def send(connection: socket.socket) -> None:
        with suppress(OSError):  # refused half way
            connection.sendall(head + half)

    before = process.told()
    with quiet(process, memory=100 * MB):
        with ExitStack() as stack, ThreadPoolExecutor(20) as threads:
            connections = [stack.enter_context(closing(process.socket())) for _ in range(20)]
            list(threads.map(send, connections))
            assert process.told()["rss"] - before["rss"] < MEMORY + 100 * MB
        process.until(lambda told: told["rss"] - before["rss"] < 100 * MB)


def test_clients_that_do_not_read_their_answers_take_what_they_may_and_are_closed(attacked: Attacked) -> None:
    process = attacked.gateway
    body = orjson.dumps({"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [490_000]}]})
    assert len(process.post("/v2/models/count/infer", body).content) > 6 * MB
    request = (
        b"POST /v2/models/count/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"x-request-timeout-ms: 8000\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    before = process.told()
    with quiet(process, memory=100 * MB), ExitStack() as stack:
        connections = [stack.enter_context(closing(process.socket())) for _ in range(100)]
        for connection in connections:
            connection.sendall(request)
        process.until(lambda told: in_flight(process) >= 5)
        assert process.told()["rss"] - before["rss"] < MEMORY + 100 * MB
        process.until(lambda told: in_flight(process) <= 1)  # their deadline is over
        with ThreadPoolExecutor(100) as threads:
            answers = list(threads.map(_read, connections[:90]))
    complete = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}")]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
    assert not complete
    assert refused
    assert b"bytes of memory" in refused[0]


def test_an_answer_too_large_for_json_can_be_had_in_binary(attacked: Attacked) -> None:
    count = {"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [5_000_000]}]}
    binary = {**count, "parameters": {"binary_data_output": True}}
    with quiet(attacked.gateway, memory=100 * MB):
        refused = at_once(4, lambda: attacked.gateway.post("/v2/models/count/infer", orjson.dumps(count)))
        answer = attacked.gateway.post("/v2/models/count/infer", orjson.dumps(binary))
    assert {answer.status_code for answer in refused} <= {400, 503}
    assert any("5000000 values" in answer.text for answer in refused)
    assert answer.status_code == 200
    assert len(answer.content) > 20_000_000


def test_an_answer_over_the_limit_is_refused_with_the_number(attacked: Attacked) -> None:
    count = {"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [20_000_000]}]}
    binary = orjson.dumps({**count, "parameters": {"binary_data_output": True}})
    with quiet(attacked.gateway, memory=100 * MB):
        answer = attacked.gateway.post("/v2/models/count/infer", binary)
    assert answer.status_code == 413
    assert "80000000 bytes" in answer.text


def test_whoever_reads_the_metrics_all_the_time_slows_nobody_down(attacked: Attacked) -> None:
    process = attacked.gateway

    def scrape() -> set[int]:
        with httpx.Client(base_url=process.url, timeout=60) as http:
            return {http.get("/metrics").status_code for _ in range(20)}

    with quiet(process, memory=100 * MB), ThreadPoolExecutor(30) as threads:
        statuses = set().union(*[scraped.result() for scraped in [threads.submit(scrape) for _ in range(30)]])
    assert statuses <= {200, 429}


@pytest.mark.parametrize("inference", [False, True])
def test_hundreds_of_requests_at_the_same_moment_begin_in_turns(attacked: Attacked, inference: bool) -> None:
    process = attacked.gateway
    request = b"GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    if inference:
        head = b"POST /v2/models/double/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        request = head % len(SMALL) + SMALL
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(process.socket())) for _ in range(800)]
        for connection in connections:
            connection.sendall(request[:-1])
        with quiet(process, memory=100 * MB):
            for connection in connections:
                connection.sendall(request[-1:])
            answers = {_read(connection)[9:12] for connection in connections}
    assert answers <= {b"200", b"429"}


def test_a_manifest_in_which_all_is_wrong_is_refused_at_once(attacked: Attacked) -> None:
    wrong = [
        b'{"manifest": {"name": "m", "text": {"labels": [%b0]}}}' % (b"1," * 49_000),
        b'{"manifest": {"files": [%b0]}}' % (b"{}," * 24_000),
        b'{"manifest": {%b"a": 1}}' % b"".join(b'"%d": 1,' % number for number in range(4_900)),
        b'{"manifest": {"name": "%b"}}' % (b"\\n" * 900_000),
        b'{"manifest": %b' % (b"[" * 2_000_000),
        b'{"manifest": %b}' % (b"1" * 2_000_000),
    ]
    for body in wrong:
        with quiet(attacked.gateway, memory=100 * MB):
            answer = attacked.gateway.post("/admin/models/m/versions", body)
        assert answer.status_code in (400, 413), answer.text


def in_flight(process: Process) -> int:
    line = next(line for line in process.http.get("/metrics").text.splitlines() if line.startswith(IN_FLIGHT))
    return int(float(line.split()[1]))


IN_FLIGHT = "headrace_gateway_in_flight "


def _read(connection: socket.socket) -> bytes:
    """What has come; empty at once where the connection was reset."""
    connection.settimeout(2)
    answer = bytearray()
    with suppress(OSError):
        while chunk := connection.recv(1 << 16):
            answer += chunk
    return bytes(answer)


def _make_double(folder: Path) -> Path:
    x: list[Port] = [("x", TensorProto.FLOAT, ["n", 4])]
    y: list[Port] = [("y", TensorProto.FLOAT, ["n", 4])]
    made = folder / "double"
    made.mkdir()
    save_graph(made / "model.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], x, y)
    spec = {"datatype": "FP32", "shape": [-1, 4]}
    _write(made, inputs=[{"name": "x", **spec}], outputs=[{"name": "y", **spec}])
    return made


def _make_count(folder: Path) -> Path:
    nodes = [
        helper.make_node("Constant", [], ["axes"], value_ints=[0]),
        helper.make_node("Squeeze", ["n", "axes"], ["end"]),
        helper.make_node("Constant", [], ["start"], value_int=0),
        helper.make_node("Constant", [], ["step"], value_int=1),
        helper.make_node("Range", ["start", "end", "step"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["seven"], value_float=7.0),
        helper.make_node("Div", ["floats", "seven"], ["y"]),
    ]
    made = folder / "count"
    made.mkdir()
    save_graph(made / "model.onnx", nodes, [("n", TensorProto.INT64, [1])], [("y", TensorProto.FLOAT, ["m"])])
    _write(
        made,
        inputs=[{"name": "n", "datatype": "INT64", "shape": [1]}],
        outputs=[{"name": "y", "datatype": "FP32", "shape": [-1]}],
        batching={"max_rows": 1},
    )
    return made


def _write(folder: Path, **fields: Any) -> None:
    write_manifest(folder, ["model.onnx"], {"name": folder.name, "model": "model.onnx", **fields})
