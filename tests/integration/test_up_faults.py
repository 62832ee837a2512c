"""A platform of `headrace up` whose parts die, hang or are told to stop while it is asked."""

import asyncio
import os
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.local_platform import Up, headrace, running
from tests.unit.headrace.test_models_commands import write_model

CLIENTS = 8


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Two gateways, two workers, and the model `scaled`, which doubles what it is given."""
    data = tmp_path_factory.mktemp("faults") / "data"
    source = str(write_model(data.with_suffix(".onnx"), 2))
    added = headrace("models", "add", source, "--name", "scaled", "--set", "cache_ttl_s=0", "--data", str(data))
    assert added.returncode == 0, added.stderr
    with running(data, 0, "--gateways", "2") as up:
        yield up


def processes(up: Up, package: str) -> list[int]:
    return [pid for pid, command in up.left().items() if command.rstrip().endswith(f"-m {package}")]


def body(number: int) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [number, 2, 3]}]}


class Load:
    """Clients that each ask for the next number as soon as they were answered, over a connection that is kept."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._ended = Event()
        self._threads = [Thread(target=self._ask, args=(number * 1000,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int, up: Up) -> None:
        """Until so many more have been answered rightly."""
        wanted = self.answers["right"] + count
        up.until(lambda: self.answers["right"] >= wanted)

    def _ask(self, number: int) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ended.is_set():
                number += 1
                try:
                    answer = client.post("/v2/models/scaled/infer", json=body(number))
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                    continue
                if answer.status_code != 200:
                    self.answers[str(answer.status_code)] += 1
                elif answer.json()["outputs"][0]["data"] == [2 * number, 4, 6]:
                    self.answers["right"] += 1
                else:
                    self.answers["wrong"] += 1


def counted(up: Up) -> float:
    """How many requests all gateways have answered so far."""
    families = text_string_to_metric_families(httpx.get(f"{up.url}/metrics", timeout=30).text)
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == "headrace_gateway_request_seconds_count")


def test_a_gateway_that_is_told_to_stop_costs_no_request(up: Up) -> None:
    with Load(up.url) as load:
        load.more(100, up)
        told = processes(up, "gateway")[0]
        os.kill(told, signal.SIGTERM)
        up.until(lambda: told not in up.left())
        load.more(100, up)
    assert set(load.answers) == {"right"}
    up.until(lambda: len(processes(up, "gateway")) == 2)


def test_where_one_gateway_is_killed_the_other_serves_and_no_connection_is_refused(up: Up) -> None:
    with Load(up.url) as load:
        load.more(100, up)
        os.kill(processes(up, "gateway")[0], signal.SIGKILL)
        load.more(500, up)
    # What the killed one was answering has lost its connection, and nobody else has.
    assert set(load.answers) <= {"right", "ReadError", "RemoteProtocolError", "WriteError"}
    assert load.answers.total() - load.answers["right"] <= CLIENTS
    up.until(lambda: len(processes(up, "gateway")) == 2)


def test_a_burst_of_clients_is_shared_by_the_gateways(up: Up) -> None:
    port = int(up.url.rpartition(":")[2])

    def each_got_some() -> bool:
        with ExitStack() as stack:
            for _ in range(32):
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            up.until(lambda: sum(connections(up, port)) >= 32)
            return min(connections(up, port)) >= 4

    up.until(each_got_some)  # one may just have been started


def connections(up: Up, port: int) -> list[int]:
    """How many each gateway has."""
    gateways = [psutil.Process(pid) for pid in processes(up, "gateway")]
    return [
        len([one for one in gateway.connections("tcp") if one.status == "ESTABLISHED" and one.laddr.port == port])
        for gateway in gateways
    ]


def test_what_the_gateways_count_adds_up_also_after_one_has_died(up: Up) -> None:
    before = counted(up)
    for number in range(40):  # each over a connection of its own, so that both get some
        httpx.post(f"{up.url}/v2/models/scaled/infer", json=body(number), timeout=30).raise_for_status()
    assert [counted(up) for _ in range(10)] == [before + 40] * 10
    killed = processes(up, "gateway")[0]
    os.kill(killed, signal.SIGKILL)
    up.until(lambda: killed not in up.left())
    up.until(lambda: len(processes(up, "gateway")) == 2)
    assert [counted(up) for _ in range(10)] == [before + 40] * 10


def test_what_one_gateway_knows_the_other_one_knows(up: Up, tmp_path: Path) -> None:
    for factor in (3, 4, 5):
        source = str(write_model(tmp_path / f"{factor}.onnx", factor))
        added = headrace("models", "add", source, "--name", f"by-{factor}", "--wait", "--url", up.url)
        assert added.returncode == 0, added.stderr
        for _ in range(20):
            answer = httpx.post(f"{up.url}/v2/models/by-{factor}/infer", json=body(1), timeout=30)
            assert answer.json()["outputs"][0]["data"] == [factor, 2 * factor, 3 * factor]


def test_a_supervisor_that_is_stopped_stops_nobody(up: Up) -> None:
    up.process.send_signal(signal.SIGSTOP)
    try:
        with Load(up.url) as load:
            load.more(200, up)
    finally:
        up.process.send_signal(signal.SIGCONT)
    assert set(load.answers) == {"right"}


def test_a_worker_that_dies_is_started_again_also_without_a_folder_for_logs(up: Up) -> None:
    logs = up.data / "logs"
    shutil.rmtree(logs)
    logs.write_text("no folder")
    try:
        before = set(processes(up, "model_service"))
        os.kill(max(before), signal.SIGKILL)
        up.until(lambda: len(set(processes(up, "model_service")) - before) == 1)
    finally:
        logs.unlink()
    assert httpx.post(f"{up.url}/v2/models/scaled/infer", json=body(7), timeout=30).status_code == 200


def test_a_gateway_lets_nobody_in_before_it_can_answer(tmp_path: Path) -> None:
    data, source = tmp_path / "data", str(write_model(tmp_path / "m.onnx", 2))
    assert headrace("models", "add", source, "--name", "scaled", "--data", str(data)).returncode == 0
    statuses: Counter[int] = Counter()

    async def knock(url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            while statuses[200] < 10:
                try:
                    statuses[(await client.get("/v2/models/scaled")).status_code] += 1
                except httpx.ConnectError:
                    await asyncio.sleep(0.005)

    with running(data, 0, "--gateways", "1", "--workers", "1") as up:
        (gateway,) = processes(up, "gateway")
        os.kill(gateway, signal.SIGKILL)
        asyncio.run(knock(up.url))
    assert set(statuses) == {200}
