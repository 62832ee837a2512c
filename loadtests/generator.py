"""A lean load generator: a process of its own, so that its cost is known and its clock is nobody else's.

`python -m loadtests.generator --json <file or ->` reads a Spec and prints a Report. Closed loop: every connection sends
as soon as it was answered. Open loop: requests are due at a fixed rate, evenly spaced or as independent clients come,
whatever the answers do, and latency counts from when each was due, so that a stall costs every request that it delays.
It sends to 127.0.0.1 only.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import threading
import time
from array import array
from collections import Counter, deque
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import uvloop

from loadtests.connection import LoadConnection
from loadtests.scenarios.arrivals import Stretch, due_times
from loadtests.spec import Report, Spec

SATURATED = 0.9  # of a core: beyond this the generator, not the server, may be what is measured
LAGGED_MS = 5.0  # p99: beyond this the load was not the one that was asked for
DRAIN_S = 30.0  # how long the last requests may take
REFUSED = (429, 503)
SEED = 7  # of Poisson arrivals: the same moments in each run


class Run:
    """One phase of load, warm-up or measured, over connections that are already open."""

    def __init__(self, spec: Spec, requests: list[bytes], connections: list[LoadConnection], seconds: float) -> None:
        self._requests = requests
        self._limit = spec.get("requests", 0) if seconds == 0 else 0
        self._seconds = seconds
        self._rate = spec.get("rate", 0.0)
        self._arrivals = spec.get("arrivals", "even")
        self._header = _header_pattern(spec.get("count_header"))
        self._connections = connections
        self._idle = deque(connections)
        self._waiting: deque[float] = deque()  # due, and no connection is free
        self._sent = 0
        self._in_flight = 0
        self._ending = False
        self._done = asyncio.Event()
        self._now = time.perf_counter
        self.latencies = array("d")
        self.refusals = array("d")
        self.lags = array("d")
        self.statuses: Counter[int] = Counter()
        self.header_values: Counter[str] = Counter()
        self.errors = 0
        self.first_failure: str | None = None
        self.started = self.finished = 0.0
        self.began = 0.0  # epoch seconds
        self.cpu_s = 0.0
        self.starved_s = 0.0

    async def go(self) -> None:
        """Load until the time is up or all requests are sent, then until the last answer."""
        loop = asyncio.get_running_loop()
        cpu, starved = time.process_time(), _starved_s()
        self.started, self.began = self._now(), time.time()
        self.finished = self.started
        if self._seconds and not self._rate:
            loop.call_later(self._seconds, self._end)
        ticking = threading.Thread(target=self._tick, args=(loop,), daemon=True) if self._rate else None
        if ticking is not None:
            ticking.start()
        else:
            while self._idle and not self._ending:
                self._send(self._idle.popleft(), self._now())
        try:
            async with asyncio.timeout(self._seconds + DRAIN_S if self._seconds else None):
                await self._done.wait()
        except TimeoutError:
            self._ending = True
            self.errors += self._in_flight
        self.cpu_s, self.starved_s = time.process_time() - cpu, _starved_s() - starved
        if ticking is not None:
            await asyncio.to_thread(ticking.join)  # it calls the loop, which must not be closed by then

    def answered(self, connection: LoadConnection, status: int, head: bytes, body: bytes) -> None:
        """Count an answer and send what comes next over the same connection."""
        now = self._now()
        self._in_flight -= 1
        self.finished = now
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(now - connection.due)
        elif status in REFUSED:
            self.refusals.append(now - connection.due)
        if status != 200 and self.first_failure is None:
            self.first_failure = f"{status} {body[:300].decode(errors='replace')}"
        if self._header is not None and (found := self._header.search(head)):
            self.header_values[found[1].decode()] += 1
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        elif self._rate or self._ending:
            self._idle.append(connection)
        else:
            self._send(connection, now)
        self._check_done()

    def lost(self, connection: LoadConnection) -> None:
        """A closed connection is an error, and its load is gone: the run will say so."""
        self.errors += 1
        self._in_flight -= connection.busy
        self._connections.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._connections:
            self._end()
        self._check_done()

    def _send(self, connection: LoadConnection, due: float) -> None:
        connection.send(self._requests[self._sent % len(self._requests)], due)
        self._sent += 1
        self._in_flight += 1
        if self._sent == self._limit:
            self._end()

    def _end(self) -> None:
        self._ending = True
        self._check_done()

    def _check_done(self) -> None:
        if self._ending and not self._in_flight and not self._waiting:
            self._done.set()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # A thread, because an event loop's timers are good to a millisecond only and sleep is good to some 50 us.
        stretch = Stretch(self._seconds, self._rate, self._rate)
        for after in due_times([stretch], self._arrivals, random.Random(SEED)):
            due = self.started + after
            time.sleep(max(0.0, due - self._now()))
            if self._ending:
                return
            loop.call_soon_threadsafe(self._dispatch, due)
        loop.call_soon_threadsafe(self._end)  # behind the last one, so that none is left out where this was late

    def _dispatch(self, due: float) -> None:
        if self._ending:
            return
        self.lags.append(self._now() - due)
        if self._idle:
            self._send(self._idle.popleft(), due)
        else:
            self._waiting.append(due)


async def load(spec: Spec) -> Report:
    """Open the connections, warm up, run, report."""
    host, port, requests = prepare(spec)
    connections: list[LoadConnection] = []
    current: list[Run] = []

    def answered(connection: LoadConnection, status: int, head: bytes, body: bytes) -> None:
        current[-1].answered(connection, status, head, body)

    def lost(connection: LoadConnection) -> None:
        if current:
            current[-1].lost(connection)

    loop = asyncio.get_running_loop()
    phases = [spec["warmup_s"]] if spec.get("warmup_s") else []
    try:
        for _ in range(spec["connections"]):
            _, connection = await loop.create_connection(lambda: LoadConnection(answered, lost), host, port)
            connections.append(connection)
        for seconds in (*phases, spec.get("seconds", 0.0)):
            current.append(Run(spec, requests, connections, seconds))
            await current[-1].go()
        return summarise(current[-1])
    finally:
        current.clear()  # what closes now was meant to
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)


def prepare(spec: Spec) -> tuple[str, int, list[bytes]]:
    """Where to connect, and every request as the bytes to send. Raises ValueError where the spec makes no sense."""
    url = urlsplit(spec["url"])
    if url.scheme != "http" or url.hostname != "127.0.0.1" or url.port is None:
        raise ValueError(f"{spec['url']}: load is sent to http://127.0.0.1:<port> only")
    if not spec["bodies"]:
        raise ValueError("bodies must hold at least one body")
    if bool(spec.get("seconds")) == bool(spec.get("requests")):
        raise ValueError("say either seconds or requests")
    if spec.get("rate") and not spec.get("seconds"):
        raise ValueError("an open loop takes seconds")
    headers = {"content-type": "application/json", **spec.get("headers", {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    start = f"POST {url.path} HTTP/1.1\r\nhost: 127.0.0.1:{url.port}\r\n{lines}content-length: "
    bodies = [body.encode() for body in spec["bodies"]]
    return url.hostname, url.port, [f"{start}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def _starved_s() -> float:
    """How long the event loop's thread has waited for a core so far, wanting to run; seconds."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def _header_pattern(name: str | None) -> re.Pattern[bytes] | None:
    return re.compile(rb"\r\n" + re.escape(name.encode()) + rb": *([^\r]*)\r\n", re.IGNORECASE) if name else None


def summarise(run: Run) -> Report:
    """What the run saw, and whether its figures may be used."""
    wall = max(run.finished - run.started, 1e-9)
    latencies = np.array(run.latencies) * 1000 if run.latencies else np.zeros(1)
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, [50, 95, 99], method="inverted_cdf"))
    refused = np.percentile(np.array(run.refusals) * 1000, [50, 99], method="inverted_cdf") if run.refusals else None
    lags = np.array(run.lags) * 1000 if run.lags else None
    lag_p99 = float(np.percentile(lags, 99, method="inverted_cdf")) if lags is not None else None
    share = run.cpu_s / wall
    faults = []
    if share > SATURATED:
        faults.append(f"the generator was saturated ({share:.0%} of a core)")
    if lag_p99 is not None and lag_p99 > LAGGED_MS:
        faults.append(f"the generator lagged (p99 {lag_p99:.1f} ms)")
    if failed := run.errors + sum(run.statuses.values()) - run.statuses[200]:
        faults.append(f"{failed} requests failed")
    if not run.latencies:
        faults.append("no request was answered with 200")
    return Report(
        count=sum(run.statuses.values()),
        statuses={str(status): count for status, count in run.statuses.items()},
        errors=run.errors,
        rate=run.statuses[200] / wall,
        seconds=wall,
        mean_ms=float(latencies.mean()),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(latencies.max()),
        began=run.began,
        lag_mean_ms=float(lags.mean()) if lags is not None else None,
        lag_p99_ms=lag_p99,
        lag_max_ms=float(lags.max()) if lags is not None else None,
        cpu_share=share,
        starved_share=run.starved_s / wall,
        header_values=dict(run.header_values),
        refused_p50_ms=float(refused[0]) if refused is not None else None,
        refused_p99_ms=float(refused[1]) if refused is not None else None,
        first_failure=run.first_failure,
        invalid="; ".join(faults) or None,
    )


def main() -> None:
    """Read a Spec, print a Report."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", type=argparse.FileType(), required=True, help="a Spec: a file, or - for stdin")
    spec: Spec = json.load(arguments.parse_args().json)
    try:
        report = uvloop.run(load(spec))
    except (ValueError, OSError) as error:
        sys.exit(f"loadtests.generator: {error}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
