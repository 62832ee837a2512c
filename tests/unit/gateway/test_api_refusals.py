"""Whatever is wrong with a request, on whichever path: the answer is JSON of one shape, over a real connection."""

import gzip
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from gateway.api.admin import MANIFEST
from tests.unit.gateway.application import application
from tests.unit.service.echo import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"content-type": "application/json"}
GZIP = {**JSON, "content-encoding": "gzip"}
LARGE = MANIFEST.bytes + 1  # for every path here
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
BESIDE = ("/", "/nowhere", "/v1/nowhere", "/metrics", "/docs", "/docs/files/none", "/openapi.json", "/v2/logging",
          "/v2/models/m/generate", "/v2/models/%00/infer", "/admin/models/%2e%2e/promote")  # fmt: skip


async def chunked(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1 << 16):
        yield content[at : at + (1 << 16)]


Ask = tuple[Callable[[], bytes | AsyncIterator[bytes] | None], dict[str, str]]
BODIES: dict[str, Ask] = {
    "nothing": (lambda: None, {}),
    "no JSON": (lambda: b"{", JSON),
    "another type": (lambda: b"<x/>", {"content-type": "application/xml"}),
    "no type": (lambda: b"\xff\xfe", {"content-type": ";;=x"}),
    "no UTF-8": (lambda: b'{"alias": "\xff"}', JSON),
    "half a character": (lambda: b'{"alias": "\\ud800", "manifest": {"\\udfff": 1}}', JSON),
    "a list": (lambda: b"[]", JSON),
    "deep": (lambda: b"[" * 60_000, JSON),
    "a long number": (lambda: b'{"version": ' + b"1" * 60_000 + b"}", JSON),
    "a large number": (lambda: b'{"weights": {"a": 1e999999999}, "version": -0.0e-99999}', JSON),
    "a long name": (lambda: b'{"manifest": {"' + b"x" * 60_000 + b'": 1}}', JSON),
    "no gzip": (lambda: b"plain", GZIP),
    "half a gzip": (lambda: gzip.compress(bytes(1000))[:-5], GZIP),
    "more than a gzip": (lambda: gzip.compress(b"{}") + b"more", GZIP),
    "unknown coding": (lambda: b"x", {**JSON, "content-encoding": "brotli, gzip"}),
    "too large": (lambda: b" " * LARGE, JSON),
    "too large, chunked": (lambda: chunked(b" " * LARGE), JSON),
    "too large, inflated": (lambda: gzip.compress(b" " * LARGE), GZIP),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Of a gateway that listens."""
    folder: Path = tmp_path_factory.mktemp("refusals")
    async with application(folder, max_file_bytes=1000, max_body_bytes=LARGE - 1) as app:
        transport: Any = app.client._transport

        async def running(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"  # it has been started already
            await transport.app(scope, receive, send)

        async with serving(running) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            yield http


async def paths(http: httpx.AsyncClient) -> Iterable[str]:
    """One of each kind that there is."""
    described = (await http.get("/openapi.json")).json()["paths"]
    values = {"model": "m", "version": "1", "name": "m", "number": "1", "sha256": "0" * 64, "alias": "candidate"}
    return [*(path.format(**values) for path in described), *BESIDE]


@pytest.mark.parametrize("kind", BODIES)
async def test_every_refusal_on_every_path_is_json_of_one_shape(http: httpx.AsyncClient, kind: str) -> None:
    body, headers = BODIES[kind]
    for path in await paths(http):
        for method in METHODS if kind == "nothing" else ("GET", "POST", "PUT"):
            answer = await http.request(method, path, content=body(), headers=headers)
            where = f"{method} {path}: {answer.status_code} {answer.text[:100]}"
            assert answer.status_code < 500 or answer.status_code == 503, where
            if answer.status_code < 400:
                continue
            assert answer.headers["content-type"] == "application/json", where
            assert len(answer.content) < 20_000, where
            if method == "HEAD":
                assert not answer.content, where
                continue
            error = orjson.loads(answer.content)["error"]
            assert isinstance(error["message"] if path.startswith("/v1/") else error, str), where
