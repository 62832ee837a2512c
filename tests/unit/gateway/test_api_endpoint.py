import asyncio
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from cache.settings import CacheSettings, open_cache
from gateway.admission import Admission
from gateway.api import oip
from gateway.api.endpoint import InferenceEndpoint, Limits, Question
from gateway.metrics import Metrics
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.routing import build_table
from gateway.settings import GatewaySettings
from model_service.protocol.http import CONNECTION, Headers, Receive
from model_service.protocol.logs import FIELDS
from tests.unit.gateway.models import model
from tests.unit.gateway.test_pipeline import FakeRoutes, FakeWorkers

BODY = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
MINUTE = 60.0


class Client:
    """One request over a connection of its own. `parts` of the body come, and then nothing."""

    on_lost: Any = None

    def __init__(self, endpoint: InferenceEndpoint, *parts: bytes, ends: bool = True, **headers: str) -> None:
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        if ends:
            messages[-1]["more_body"] = False
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v2/models/m/infer",
            "path_params": {"model": "m"},
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
            CONNECTION: self,
        }
        self.sent: list[MutableMapping[str, Any]] = []
        self.asking = asyncio.create_task(endpoint(scope, self._receiving(messages), self._send))

    async def status(self) -> int | None:
        await self.asking
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    def _receiving(self, messages: list[dict[str, Any]]) -> Receive:
        async def receive() -> MutableMapping[str, Any]:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop(0)

        return receive

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


@pytest.fixture
def admission() -> Admission:
    return Admission(2)


@pytest.fixture
def endpoint(workers: FakeWorkers, admission: Admission) -> InferenceEndpoint:
    routes = FakeRoutes(model(1, aliases={"stable": 1}))
    gateway = Gateway(routes, workers, open_cache(CacheSettings(redis_url=None)))
    return InferenceEndpoint(
        "oip",
        oip.decode,
        gateway,
        Metrics(),
        RequestLog(GatewaySettings(log_sample=1)),
        Limits(admission, 1000, MINUTE, MINUTE),
    )


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [getattr(record, FIELDS) for record in caplog.records if record.name == "headrace.requests"]


async def test_a_request_that_failed_leaves_its_line_in_the_log(
    endpoint: InferenceEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint._requests = RequestLog(GatewaySettings(log_sample=0))
    with caplog.at_level(logging.INFO):
        assert await Client(endpoint, b"{", x_request_id="mine").status() == 400
        assert await Client(endpoint, BODY).status() == 200  # which is not in a sample of none
    (line,) = lines(caplog)
    assert (line["request_id"], line["outcome"], line["body_bytes"]) == ("mine", "InvalidInput", 1)


async def test_a_request_that_went_well_leaves_one_where_it_is_in_the_sample(
    endpoint: InferenceEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert await Client(endpoint, BODY).status() == 200
    (line,) = lines(caplog)
    assert (line["protocol"], line["model"], line["version"], line["outcome"]) == ("oip", "m", "1", "miss")
    assert line["ms"] > 0


async def test_a_request_is_answered_and_its_place_is_free_again(
    endpoint: InferenceEndpoint, admission: Admission
) -> None:
    assert await Client(endpoint, BODY).status() == 200
    assert admission.in_flight == 0


async def test_at_its_deadline_a_request_is_told_so_and_its_work_is_abandoned(
    endpoint: InferenceEndpoint, workers: FakeWorkers, admission: Admission
) -> None:
    workers.let_go.clear()
    assert await Client(endpoint, BODY, x_request_timeout_ms="20").status() == 504
    await until(lambda: workers.abandoned == 1)
    assert admission.in_flight == 0


async def test_a_body_that_does_not_come_in_time_ends_the_request(
    endpoint: InferenceEndpoint, workers: FakeWorkers, admission: Admission
) -> None:
    slow = Client(endpoint, BODY[:10], ends=False, x_request_timeout_ms="20")
    assert await slow.status() == 504
    assert (workers.calls, admission.in_flight) == (0, 0)


async def test_a_client_that_hangs_up_has_its_work_abandoned(
    endpoint: InferenceEndpoint, workers: FakeWorkers, admission: Admission
) -> None:
    workers.let_go.clear()
    client = Client(endpoint, BODY)
    await until(lambda: workers.calls == 1)
    client.on_lost()
    assert await client.status() is None
    await until(lambda: workers.abandoned == 1)
    assert admission.in_flight == 0


async def test_more_than_the_limit_at_once_are_refused_before_their_bodies_are_read(
    endpoint: InferenceEndpoint, workers: FakeWorkers
) -> None:
    workers.let_go.clear()
    computing = Client(endpoint, BODY)
    sending = Client(endpoint, BODY[:10], ends=False, x_request_timeout_ms="60")
    await asyncio.sleep(0)
    refused = Client(endpoint, b"not even JSON")
    assert await refused.status() == 429
    assert int(refused.headers[b"retry-after"]) >= 1
    assert await sending.status() == 504
    workers.let_go.set()
    assert await computing.status() == 200
    assert await Client(endpoint, BODY).status() == 200


@pytest.mark.parametrize("body", [b"", b"[]", b'{"inputs": []}'])
async def test_a_refused_request_keeps_no_place(endpoint: InferenceEndpoint, admission: Admission, body: bytes) -> None:
    assert await Client(endpoint, body).status() == 400
    assert admission.in_flight == 0


async def test_who_waits_for_a_model_to_load_takes_no_place_from_others(
    workers: FakeWorkers, admission: Admission
) -> None:
    routes = FakeRoutes(model(1, aliases={"stable": 1}))
    gateway = Gateway(routes, workers, open_cache(CacheSettings(redis_url=None)))
    loaded, routes.table = routes.table, build_table([model(1, aliases={"stable": 1})], {})

    def waits(path: Mapping[str, str], headers: Headers, body: bytes) -> Question:
        return replace(oip.decode(path, headers, body), wait=True)

    endpoint = InferenceEndpoint(
        "oip", waits, gateway, Metrics(), RequestLog(GatewaySettings()), Limits(admission, 1000, MINUTE, MINUTE)
    )
    waiting = [Client(endpoint, BODY) for _ in range(2 * admission.limit)]
    await asyncio.sleep(0.01)
    assert admission.in_flight == 0
    routes.table = loaded
    assert [await client.status() for client in waiting] == [200] * len(waiting)
    assert admission.in_flight == 0
