"""Faults under load: what the clients record, and what is said of it."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from loadtests.chaos.client import LATE, LOST, REFUSED, RIGHT, WRONG, Client, Job, Question, _request
from loadtests.chaos.faults import FAULTS
from loadtests.chaos.load import numbers, seen
from loadtests.report import markdown
from loadtests.results import Table, figure, result


def job(port: int, **changed: Any) -> Job:
    question = Question(path="/double", body="1", answer=[2.0], tolerance=0.0)
    given = {"questions": [question], "connections": 1, "pace_s": 0.001, "timeout_s": 0.5}
    return Job(url=f"http://127.0.0.1:{port}", **{**given, **changed})  # type: ignore[typeddict-item]


def answer(value: float, status: str = "200 OK", more: str = "") -> bytes:
    body = json.dumps({"outputs": [{"data": [value]}]})
    return f"HTTP/1.1 {status}\r\n{more}content-length: {len(body)}\r\n\r\n{body}".encode()


async def ask_until(port: int, count: int, **changed: Any) -> list[str]:
    """How the first so many requests of one client ended."""
    asked = job(port, **changed)
    client = Client(asked, [_request(asked, question) for question in asked["questions"]])
    ended = asyncio.Event()
    running = asyncio.create_task(client.run(0, ended))
    async with asyncio.timeout(30):
        while True:
            if len(client.records) >= count:
                break
            await asyncio.sleep(0.005)
    ended.set()
    await running
    return [how for _, _, how in client.records[:count]]


async def test_every_answer_is_checked_and_every_ending_is_told_apart() -> None:
    answers = iter(
        [answer(2.0), answer(3.0), answer(2.0, "503 no"), b"", b"hang", answer(2.0, more="Connection: close\r\n")]
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n1"):
            said = next(answers, answer(2.0))
            if said == b"hang":
                continue
            writer.write(said)
            if not said or b"Connection: close" in said:
                writer.close()
                return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await ask_until(port, 7) == [RIGHT, WRONG, "503", LOST, LATE, RIGHT, RIGHT]
    server.close()
    assert await ask_until(port, 1) == [REFUSED]


def test_what_a_fault_cost_is_counted_from_its_beginning_on() -> None:
    before = [(number / 10, 0.01, RIGHT) for number in range(100)]
    during = [(10.0, 0.01, RIGHT), (10.5, 2.0, RIGHT), (10.6, 0.1, "503"), (11.0, 0.1, LOST), (13.0, 0.01, WRONG)]
    found = seen([*before, *during], 10.0, 14.0)
    assert (found["requests"], found["failed"], found["wrong"]) == (5, 2, 1)
    assert found["stall_s"] == pytest.approx(2.5 - 0.01)  # from the first right answer to the second
    assert found["longest_s"] == 2.0
    assert found["p99_before_ms"] == pytest.approx(10)
    assert found["endings"] == {"503": 1, LOST: 1, RIGHT: 2, WRONG: 1}


def test_a_fault_after_which_nobody_is_answered_is_one_long_stall() -> None:
    assert seen([(0.0, 0.1, RIGHT), (1.0, 9.0, LATE)], 1.0, 20.0)["stall_s"] == 19.0


def test_every_fault_says_what_it_is_and_has_a_name_of_its_own() -> None:
    assert max(Counter(fault.name for fault in FAULTS).values()) == 1
    assert max(Counter(fault.about for fault in FAULTS).values()) == 1
    assert all(fault.about and not fault.about.endswith(".") for fault in FAULTS)


def test_the_right_answers_are_known() -> None:
    for question in numbers():
        (asked,) = json.loads(question["body"])["inputs"]
        assert question["answer"] == [2 * value for value in asked["data"]]


def test_its_table_stands_in_the_results_and_what_falls_short_before_them() -> None:
    table = Table(columns=["Fault", "Failed"], rows=[["stop-worker", "3"]])
    found = result(
        "chaos", "Faults", [figure("failed", 3, "requests", at_most=0)], {}, command="make chaos", table=table
    )
    page = markdown([found])
    assert "| Fault | Failed |\n| --- | --- |\n| stop-worker | 3 |" in page
    assert "- chaos: failed is 3.00 requests" in page
    assert "`make chaos`" in page
