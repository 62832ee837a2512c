"""Clients that check every answer: a process of its own, so that its clock and its patience are nobody else's.

`python -m loadtests.chaos.client FILE` reads a Job from standard input, a line of JSON; it asks until that ends, and
writes into the file what became of each request: when it was sent (CLOCK_MONOTONIC), how long it took, how it ended.
"""

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

import numpy as np
import uvloop

from loadtests.connection import LoadConnection

RIGHT, WRONG, LOST, REFUSED, LATE = "right", "wrong", "lost", "refused", "late"
RECONNECT_S = 0.05
Record = tuple[float, float, str]  # any other ending is the answer's status


class Question(TypedDict):
    """A request, and the numbers that the answer's first output holds."""

    path: str
    body: str
    answer: list[float]
    tolerance: float


class Job(TypedDict):
    """Each connection asks again `pace_s` after it asked, or once it was answered; the questions come in turn."""

    url: str
    questions: list[Question]
    connections: int
    pace_s: float
    timeout_s: float


class Client:
    """One connection, made again whenever it is lost, with one question on it at a time."""

    def __init__(self, job: Job, requests: list[bytes]) -> None:
        self._job = job
        self._requests = requests
        url = urlsplit(job["url"])
        self._host, self._port = url.hostname or "", url.port or 80
        self._connection: LoadConnection | None = None
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self.records: list[Record] = []

    async def run(self, first: int, ended: asyncio.Event) -> None:
        """Ask until it has ended."""
        loop = asyncio.get_running_loop()
        for number in itertools.count(first):
            if ended.is_set():
                return self._hang_up()
            began = time.monotonic()
            how = await self._ask(number % len(self._requests))
            self.records.append((began, time.monotonic() - began, how))
            if how == REFUSED:
                await asyncio.sleep(RECONNECT_S)
            await asyncio.sleep(max(0.0, began + self._job["pace_s"] - loop.time()))

    async def _ask(self, number: int) -> str:
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()
        try:
            async with asyncio.timeout(self._job["timeout_s"]):
                if self._connection is None:
                    _, self._connection = await loop.create_connection(
                        lambda: LoadConnection(self._answered, self._lost), self._host, self._port
                    )
                self._connection.send(self._requests[number], 0.0)
                status, head, body = await answer
        except TimeoutError:
            self._hang_up()
            return LATE
        except ConnectionError:
            self._hang_up()
            return LOST if answer.done() else REFUSED
        if b"\r\nconnection: close" in head.lower():
            self._hang_up()
        if status != 200:
            return str(status)
        return RIGHT if _is_right(body, self._job["questions"][number]) else WRONG

    def _answered(self, connection: LoadConnection, status: int, head: bytes, body: bytes) -> None:
        if connection is self._connection and self._answer is not None and not self._answer.done():
            self._answer.set_result((status, head, body))

    def _lost(self, connection: LoadConnection) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _is_right(body: bytes, question: Question) -> bool:
    try:
        found = np.ravel(json.loads(body)["outputs"][0]["data"])
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    wanted = np.array(question["answer"])
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=0, atol=question["tolerance"]))


async def load(job: Job) -> list[Record]:
    """All clients, until standard input ends."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    requests = [_request(job, question) for question in job["questions"]]
    clients = [Client(job, requests) for _ in range(job["connections"])]
    waiting = loop.run_in_executor(None, sys.stdin.read)
    waiting.add_done_callback(lambda _: ended.set())
    apart = len(requests) // len(clients) + 1
    await asyncio.gather(*(client.run(apart * number, ended) for number, client in enumerate(clients)))
    return sorted(record for client in clients for record in client.records)


def _request(job: Job, question: Question) -> bytes:
    body = question["body"].encode()
    head: dict[str, Any] = {
        "host": urlsplit(job["url"]).netloc,
        "content-type": "application/json",
        "x-request-timeout-ms": int(job["timeout_s"] * 1000),
        "content-length": len(body),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST {question['path']} HTTP/1.1\r\n{lines}\r\n".encode() + body


def main() -> None:
    """Read a Job, ask, and write the records as JSON."""
    job: Job = json.loads(sys.stdin.readline())
    Path(sys.argv[1]).write_text(json.dumps(uvloop.run(load(job))))


if __name__ == "__main__":
    main()
