"""Tensors of megabytes as binary: how many MB a second, beside Triton, and what a MB takes of processor and memory."""

import http.client
import json
import statistics
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final, TypedDict
from urllib.parse import urlsplit

import numpy as np
import psutil

from loadtests.models import LARGE_ROW
from loadtests.peers.triton.run import PEER as TRITON
from loadtests.platform import artifact, platform
from loadtests.processes import family, high_water_mb, listener, processor_s, reset_high_water
from loadtests.results import Figure, Result, figure, result
from loadtests.rounds import ROUNDS

SIZES_MB: Final = (1, 8, 32)  # MiB of one tensor, a row each
CLIENTS: Final = 2
SECONDS, WARMUP_S = 4.0, 1.0


class Turn(TypedDict):
    """One server under one size: MB are 2^20 bytes of tensors that were sent."""

    mb_per_s: float
    cpu_ms_per_mb: dict[str, float]  # by what the processes are
    copies: dict[str, float]  # the most memory beyond that at rest, in requests of that size


class Client:
    """Asks for the means of a tensor, over one connection."""

    def __init__(self, url: str, rows: int) -> None:
        parts = urlsplit(url)
        tensor = np.random.default_rng(5).random((rows, LARGE_ROW), np.float32)
        self._means = tensor.mean(axis=1)
        shape = [rows, LARGE_ROW]
        given = {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": tensor.nbytes}}
        head = json.dumps({"inputs": [given], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})
        self._body = head.encode() + tensor.tobytes()
        self._headers = {"inference-header-content-length": str(len(head)), "cache-control": "no-cache"}
        self._path = parts.path
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=60)

    def ask(self) -> None:
        """Raises RuntimeError where the answer is not the mean of each row."""
        self._connection.request("POST", self._path, self._body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        found = struct.unpack(f"<{len(self._means)}f", said[-4 * len(self._means) :])
        if not np.allclose(found, self._means, rtol=1e-4):
            raise RuntimeError(f"the answer is {found[:3]}, not {self._means[:3]}")


def measure() -> Result:
    """Headrace and Triton, by turns."""
    rounds: dict[str, dict[int, list[Turn]]] = {"headrace": {size: [] for size in SIZES_MB}}
    if TRITON.installed:
        rounds["triton"] = {size: [] for size in SIZES_MB}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}")
        with platform([artifact("large")]) as running:
            workers = [psutil.Process(worker.pid) for worker in running.workers]
            parts = {"gateway": [psutil.Process(running.gateway.pid)], "workers": workers}
            _one_round("headrace", running.target("large").url, parts, rounds["headrace"])
        if TRITON.installed:
            with TRITON.running("large") as target:
                _one_round("triton", target.url, {"server": [listener(target.url)]}, rounds["triton"])
    figures = [figure for size in SIZES_MB for figure in _figures(size, rounds)]
    about = (
        f"FP32 tensors as binary, the mean of each row of 1 MiB is the answer, {CLIENTS} clients, nothing cached; MB of"
        " 2^20 bytes of input; memory beyond that at rest, in bodies of that size"
    )
    peers = {TRITON.name: TRITON.version} if TRITON.installed else {}
    return result("large", about, figures, {"rounds": rounds, "copy_ms_per_mb": _copy_ms(), "peers": peers})


def _one_round(name: str, url: str, parts: dict[str, list[psutil.Process]], turns: dict[int, list[Turn]]) -> None:
    for size in SIZES_MB:  # the smallest first: what a large one leaves in a process is not to count for it
        turns[size].append(_turn(url, parts, size))
        turn = turns[size][-1]
        print(
            f"  {name:<9} {size:3} MB {turn['mb_per_s']:7.0f} MB/s  {_told(turn['cpu_ms_per_mb'])} ms of processor a MB"
        )


def _turn(url: str, parts: dict[str, list[psutil.Process]], size: int) -> Turn:
    Client(url, 1).ask()
    every = {part: [one for process in of for one in family(process)] for part, of in parts.items()}
    alone = Client(url, size)
    before = {part: [one.memory_info().rss / (1 << 20) for one in of] for part, of in every.items()}
    for one in [one for of in every.values() for one in of]:
        reset_high_water(one.pid)
    for _ in range(3):
        alone.ask()
    # Of several workers one was asked: of each part, the process that grew by most.
    copies = {
        part: max(high_water_mb(one.pid) - was for one, was in zip(of, before[part], strict=True)) / size
        for part, of in every.items()
    }
    clients = [Client(url, size) for _ in range(CLIENTS)]
    _load(clients, WARMUP_S)
    spent = {part: processor_s(of) for part, of in every.items()}
    began = time.perf_counter()
    asked = _load(clients, SECONDS)
    took = time.perf_counter() - began
    mb = asked * size
    return Turn(
        mb_per_s=mb / took,
        cpu_ms_per_mb={part: (processor_s(of) - spent[part]) / mb * 1e3 for part, of in every.items()},
        copies=copies,
    )


def _load(clients: Sequence[Client], seconds: float) -> int:
    """How many requests were answered; the first error of any client."""
    until = time.perf_counter() + seconds
    counts, errors = [0] * len(clients), []

    def ask(number: int) -> None:
        try:
            while time.perf_counter() < until:
                clients[number].ask()
                counts[number] += 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(counts)


def _copy_ms() -> float:
    """What it takes to copy a MB from one place in memory to another."""
    one, other = np.ones(8 << 18, np.float32), np.empty(8 << 18, np.float32)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        np.copyto(other, one)
        times.append(time.perf_counter() - began)
    return statistics.median(times) / 8 * 1e3


def _figures(size: int, rounds: dict[str, dict[int, list[Turn]]]) -> list[Figure]:
    rate = {name: statistics.median(turn["mb_per_s"] for turn in turns[size]) for name, turns in rounds.items()}
    figures = [
        figure(f"{name}: tensors of {size} MB", value, "MB/s", notes=_notes(rounds[name][size]))
        for name, value in rate.items()
    ]
    if "triton" in rate:
        what = f"headrace against Triton, tensors of {size} MB"
        figures.append(figure(what, rate["headrace"] / rate["triton"], "x", at_least=1))
    return figures


def _notes(turns: list[Turn]) -> list[str]:
    return [
        f"ms of processor a MB: {_told(_medians([turn['cpu_ms_per_mb'] for turn in turns]))}",
        f"memory that a request takes at most, in bodies: {_told(_medians([turn['copies'] for turn in turns]))}",
    ]


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.median(turn[part] for turn in turns) for part in turns[0]}


def _told(values: dict[str, float]) -> str:
    return ", ".join(f"{part} {value:.1f}" for part, value in values.items())
