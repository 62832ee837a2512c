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
from gateway.api.endpoint import InferenceEndpoint
from gateway.api.question import Question
from gateway.api.repeated_answers import RepeatedAnswers
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.routing import build_table
from gateway.settings import GatewaySettings
from service.asgi import Headers, Receive
from service.bodies import Body
from service.budget import Budget
from service.cancel_scope import CONNECTION
from service.logs import FIELDS
from service.turns import Turns
from tests.unit.gateway.models import model
from tests.unit.gateway.test_pipeline import FakeMembership, FakeWorkers

BODY = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
MINUTE = 60.0


class Client:
    """One request over a connection of its own. `parts` of the body come, and then nothing. Unless it `reads`, it takes
    nothing of its answer."""

    on_lost: Any = None

    def __init__(
        self, endpoint: InferenceEndpoint, *parts: bytes, ends: bool = True, reads: bool = True, **headers: str
    ) -> None:
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
        self.turns = Turns()
        self.sent: list[MutableMapping[str, Any]] = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()
        self.aborted = False
        self.transport = self
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

    def abort(self) -> None:
        self.aborted = True
        self.on_lost()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)
        await self.reads.wait()


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


@pytest.fixture
def admission() -> Admission:
    return Admission(2)


@pytest.fixture
def endpoint(workers: FakeWorkers, admission: Admission) -> InferenceEndpoint:
    membership = FakeMembership(model(1, aliases={"stable": 1}))
    gateway = Gateway(membership, workers, open_cache(CacheSettings(redis_url=None)))
    return InferenceEndpoint(
        "oip",
        oip.Inference(membership),
        gateway,
        metrics=Metrics(),
        requests=RequestLog(GatewaySettings(log_sample=1)),
        limits=Limits(admission, 1000, MINUTE, MINUTE),
        repeated=RepeatedAnswers(membership, gateway.cache),
    )


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [getattr(record, FIELDS) for record in caplog.records if record.name == "headrace.requests"]


async def test_a_request_that_failed_leaves_its_line_in_the_log(
    endpoint: InferenceEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.requests = RequestLog(GatewaySettings(log_sample=0))
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


@pytest.mark.parametrize(
    ("given", "taken"), [("mine/1 a", True), ("x" * 128, True), ("x" * 129, False), ("a\tb", False)]
)
async def test_an_id_that_is_fit_to_be_repeated_is_the_requests(
    endpoint: InferenceEndpoint, given: str, taken: bool
) -> None:
    client = Client(endpoint, BODY, x_request_id=given)
    assert await client.status() == 200
    assert (client.headers[b"x-request-id"].decode() == given) is taken
    assert client.headers[b"x-request-id"]


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


async def test_bodies_that_come_slowly_keep_nobody_out(endpoint: InferenceEndpoint, admission: Admission) -> None:
    slow = [Client(endpoint, BODY[:10], ends=False) for _ in range(2 * admission.limit)]
    await asyncio.sleep(0)
    assert await Client(endpoint, BODY).status() == 200
    assert not any(client.asking.done() for client in slow)
    for client in slow:
        client.asking.cancel()
    await asyncio.wait([client.asking for client in slow])
    assert admission.in_flight == 0


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
    endpoint: InferenceEndpoint, workers: FakeWorkers, admission: Admission
) -> None:
    workers.let_go.clear()
    computing = [Client(endpoint, BODY, cache_control="no-cache") for _ in range(2)]
    await until(lambda: workers.calls == 1)
    assert admission.in_flight == 2
    refused = Client(endpoint, b"not even JSON")
    assert await refused.status() == 429
    assert int(refused.headers[b"retry-after"]) >= 1
    workers.let_go.set()
    assert [await client.status() for client in computing] == [200, 200]
    assert await Client(endpoint, BODY).status() == 200


async def test_a_body_that_is_half_sent_takes_no_place_from_others(
    endpoint: InferenceEndpoint, admission: Admission
) -> None:
    sending = [Client(endpoint, BODY[:10], ends=False, x_request_timeout_ms="50") for _ in range(2 * admission.limit)]
    await asyncio.sleep(0)
    assert admission.in_flight == 0
    assert await Client(endpoint, BODY).status() == 200
    assert [await client.status() for client in sending] == [504] * len(sending)


async def test_who_does_not_read_the_answer_keeps_its_place_until_the_deadline_and_is_closed(
    endpoint: InferenceEndpoint, admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(endpoint, BODY, reads=False, x_request_timeout_ms="100")
    await until(lambda: client.sent)
    assert admission.in_flight == 1
    assert endpoint.limits.budget.reserved > 0
    await client.asking
    assert client.aborted
    assert len(client.sent) == 1  # no error in the middle of an answer
    assert (admission.in_flight, endpoint.limits.budget.reserved) == (0, 0)
    assert [line["outcome"] for line in lines(caplog)] == ["DeadlineExceeded"]


async def test_who_hangs_up_in_the_middle_of_an_answer_gives_the_place_back(
    endpoint: InferenceEndpoint, admission: Admission
) -> None:
    client = Client(endpoint, BODY, reads=False)
    await until(lambda: client.sent)
    client.on_lost()
    await client.asking
    assert (admission.in_flight, endpoint.limits.budget.reserved) == (0, 0)


async def test_a_body_that_finds_no_room_is_refused_with_the_numbers(endpoint: InferenceEndpoint) -> None:
    endpoint.limits = replace(endpoint.limits, budget=Budget(3 * len(BODY)))
    one = Client(endpoint, BODY, b"", ends=False, x_request_timeout_ms="5000")
    await until(lambda: endpoint.limits.budget.reserved)
    other = Client(endpoint, BODY + b" ")
    assert await other.status() == 503
    assert int(other.headers[b"retry-after"]) >= 1
    assert b"of the %d for all" % (3 * len(BODY)) in other.sent[1]["body"]
    one.on_lost()
    await one.asking
    assert endpoint.limits.budget.reserved == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"inputs": []}'])
async def test_a_refused_request_keeps_no_place(endpoint: InferenceEndpoint, admission: Admission, body: bytes) -> None:
    assert await Client(endpoint, body).status() == 400
    assert admission.in_flight == 0


async def test_who_waits_for_a_model_to_load_takes_no_place_from_others(
    workers: FakeWorkers, admission: Admission
) -> None:
    membership = FakeMembership(model(1, aliases={"stable": 1}))
    gateway = Gateway(membership, workers, open_cache(CacheSettings(redis_url=None)))
    loaded, membership.table = membership.table, build_table([model(1, aliases={"stable": 1})], {})

    def waits(path: Mapping[str, str], headers: Headers, body: Body) -> Question:
        return replace(oip.Inference(membership)(path, headers, body), wait=True)

    endpoint = InferenceEndpoint(
        "oip",
        waits,
        gateway,
        metrics=Metrics(),
        requests=RequestLog(GatewaySettings()),
        limits=Limits(admission, 1000, MINUTE, MINUTE),
        repeated=RepeatedAnswers(membership, gateway.cache),
    )
    waiting = [Client(endpoint, BODY) for _ in range(2 * admission.limit)]
    await asyncio.sleep(0.01)
    assert admission.in_flight == 0
    membership.table = loaded
    assert [await client.status() for client in waiting] == [200] * len(waiting)
    assert admission.in_flight == 0


def with_timeout(microseconds: int) -> bytes:
    return orjson.dumps({**orjson.loads(BODY), "parameters": {"timeout": microseconds}})


async def test_a_timeout_in_the_body_ends_the_request_and_what_it_asked_for(
    endpoint: InferenceEndpoint, workers: FakeWorkers, admission: Admission
) -> None:
    """Whoever waited for the default deadline would run into the test's time limit."""
    workers.let_go.clear()
    assert await Client(endpoint, with_timeout(20_000)).status() == 504
    await until(lambda: workers.abandoned == 1)
    assert (workers.calls, admission.in_flight) == (1, 0)
    assert await Client(endpoint, with_timeout(3_600_000_000), x_request_timeout_ms="20").status() == 504


async def test_a_timeout_does_not_make_another_question_of_it(
    endpoint: InferenceEndpoint, workers: FakeWorkers
) -> None:
    for body in (BODY, with_timeout(50_000_000), with_timeout(60_000_000), with_timeout(0)):
        assert await Client(endpoint, body).status() == 200
    assert workers.calls == 1
