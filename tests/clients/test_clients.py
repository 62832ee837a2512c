"""The default clients of other languages, as programs: `make clients-test`.

What they send is replayed by `tests/unit/service/test_connection.py`, which needs none of them.
"""

import asyncio
from pathlib import Path

import pytest

from tests.unit.service.echo import serving
from tests.unit.service.streams import BODY

HERE = Path(__file__).parent
TEXT = BODY.decode()
ANSWER = f"POST /infer {TEXT}"

CURL = ["curl", "--silent", "--show-error", "--no-progress-meter"]


async def said(*command: str, stdin: bytes = b"") -> str:
    """What a program writes to standard output. It has to end well."""
    program = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await program.communicate(stdin)
    assert program.returncode == 0, errors.decode()
    return out.decode()


@pytest.mark.parametrize(
    ("program", "answers"), [
        (["java", str(HERE / "Post.java")], 6),
        (["go", "run", str(HERE / "post.go")], 6),
        (["node", str(HERE / "post.mjs")], 8),
    ],
)  # fmt: skip
async def test_a_clients_requests_are_read_as_it_means_them(program: list[str], answers: int) -> None:
    async with serving() as port:
        out = await said(*program, f"http://127.0.0.1:{port}/infer", TEXT)
    assert out.splitlines() == [ANSWER] * answers


@pytest.mark.parametrize(
    "options", [
        ["-d", TEXT],
        ["--http2", "-d", TEXT],
        ["--http1.0", "-d", TEXT],
        ["-H", "Expect: 100-continue", "-d", TEXT],
        ["--http2", "-H", "Expect: 100-continue", "-d", TEXT],
        ["-H", "Transfer-Encoding: chunked", "-d", TEXT],
        ["-X", "POST", "-T", "-"],
    ],
)  # fmt: skip
async def test_curls_requests_are_read_as_it_means_them(options: list[str]) -> None:
    async with serving() as port:
        url = f"http://127.0.0.1:{port}/infer"
        out = await said(*CURL, *options, "-w", "\n", url, url, stdin=BODY)
    assert set(out.splitlines()) == {ANSWER} or out.splitlines() == [
        ANSWER,
        "POST /infer ",
    ]  # standard input is read once


async def test_nghttp_is_told_that_http_2_is_not_spoken() -> None:
    async with serving() as port:
        url = f"http://127.0.0.1:{port}/infer"
        program = await asyncio.create_subprocess_exec(
            "nghttp", "--upgrade", "--verbose", url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await program.communicate()
        assert b"HTTP Upgrade failed" in out
        assert ANSWER in await said(*CURL, "-d", TEXT, url)  # the server has taken no harm
