"""An answer that is found by the bytes of its request is the one that the whole way would have given."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from cache.response_cache import ResponseCache
from cache.settings import CacheSettings, open_cache
from gateway.api.question import Question
from gateway.api.repeated_answers import Asked, RepeatedAnswer, RepeatedAnswers
from gateway.pipeline import Answer
from gateway.routing import RouteTable, Target
from tests.unit.gateway.models import model
from tests.unit.gateway.test_api_direct import PATH, Platform, body, platform
from tests.unit.gateway.test_pipeline import FakeMembership
from wire import headers as names
from wire.messages import InferRequest, InferResponse
from wire.refusals import fingerprint

ASKED: Asked = (PATH.encode(), b"{}", None)
RENDERED = b"content-type: application/json\r\n", b"[1]"
Change = Callable[[RouteTable], RouteTable]


class Kept:
    """One answer that is kept, and what it depends on."""

    def __init__(self) -> None:
        self.membership = FakeMembership(model(1, aliases={"stable": 1}))
        self.cache: ResponseCache = open_cache(CacheSettings(redis_url=None))
        self.answers = RepeatedAnswers(self.membership, self.cache, limit=5000)
        self.keep(ASKED)

    @property
    def target(self) -> Target:
        target: Target = self.membership.table.resolve("m", None)
        return target

    def keep(self, asked: Asked, version: str | None = None) -> None:
        key, value = b"key", b"value"
        self.cache._memory.keep(key, value, 60)
        question = Question(InferRequest("m", None, []), lambda answer: (b"", []), version)
        answer = Answer(InferResponse("m", "1", ()), "hit", (key, self.cache.peek(key) or b""))
        self.answers.keep(asked, question, self.target, answer, RENDERED)

    def find(self, asked: Asked = ASKED) -> RepeatedAnswer | None:
        return self.answers.find(asked)

    def change(self, change: Change) -> None:
        self.membership.table = change(self.membership.table)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def with_target(**fields: Any) -> Change:
    def change(table: RouteTable) -> RouteTable:
        route = table.models["m"]
        target = replace(route.shares[0][1], **fields)
        return replace(table, models={"m": replace(route, shares=((1.0, target),))})

    return change


def with_weights(table: RouteTable) -> RouteTable:
    route = table.models["m"]
    target = route.shares[0][1]
    return replace(table, models={"m": replace(route, shares=((0.5, target), (1.0, target)))})


def test_what_was_kept_is_found_while_nothing_changes(kept: Kept) -> None:
    kept.change(with_target())  # the table is built anew twice a second
    before = kept.cache.stats.hits_memory
    found = kept.find()
    assert found is not None
    assert (found.lines, found.content) == RENDERED
    assert kept.cache.stats.hits_memory == before + 1


@pytest.mark.parametrize(
    "other", [(b"/v2/models/n/infer", b"{}", None), (PATH.encode(), b"{ }", None), (PATH.encode(), b"{}", b"2")]
)
def test_another_path_body_or_length_of_the_json_is_another_request(kept: Kept, other: Asked) -> None:
    assert kept.find(other) is None


@pytest.mark.parametrize(
    "change",
    [
        with_target(version="2"),
        with_target(digest="another"),
        with_target(replicas=()),
        with_target(cache_ttl_s=0),
        with_weights,
        lambda table: replace(table, models={}),
    ],
)
def test_once_the_request_leads_elsewhere_it_takes_the_whole_way(kept: Kept, change: Change) -> None:
    hits = kept.cache.stats.hits_memory
    kept.change(change)
    assert kept.find() is None
    assert kept.cache.stats.hits_memory == hits


def test_an_input_that_is_refused_is_looked_at(kept: Kept) -> None:
    kept.target.refusals.add(fingerprint(InferRequest("m", None, [])), "it kills")
    assert kept.find() is None


def test_a_value_that_was_replaced_or_has_gone_is_not_answered(kept: Kept) -> None:
    kept.cache._memory.keep(b"key", b"another"[:], 60)
    assert kept.find() is None
    kept.keep(ASKED)
    assert kept.find() is not None
    kept.cache._memory.keep(b"key", b"value", -1)
    assert kept.find() is None


def test_of_a_version_that_was_named_the_name_is_looked_up_again(kept: Kept) -> None:
    kept.keep(ASKED, version="stable")
    assert kept.find() is not None
    kept.change(lambda table: replace(table, models={"m": replace(table.models["m"], versions={})}))
    assert kept.find() is None


def test_they_take_no_more_memory_than_their_limit(kept: Kept) -> None:
    many: list[Asked] = [(b"/%d" % number, b"{}", None) for number in range(100)]
    for asked in many:
        kept.keep(asked)
    assert [asked for asked in many if kept.find(asked)] == many[-4:]  # some 1,000 bytes each
    assert kept.answers._bytes <= 5000
    kept.keep((PATH.encode(), bytes(6000), None))
    assert kept.find((PATH.encode(), bytes(6000), None)) is None
    assert kept.find(many[-1]) is not None


def test_what_did_not_come_out_of_memory_is_not_kept(kept: Kept) -> None:
    question = Question(InferRequest("m", None, []), lambda answer: (b"", []))
    asked = (b"/other", b"{}", None)
    kept.answers.keep(asked, question, kept.target, Answer(InferResponse("m", "1", ()), "bypass"), RENDERED)
    assert kept.find(asked) is None


# Through the endpoint


async def ask(here: Platform, **headers: str) -> httpx.Response:
    return await here.infer(1, 2, **headers)


async def test_a_request_that_comes_again_is_not_decoded_again() -> None:
    async with platform(ttl_s=60) as here:
        answers = [await ask(here) for _ in range(2)]
        here.endpoint.decode = None  # type: ignore[assignment]  # whoever decodes fails
        answers += [await ask(here, **{"x-request-id": str(number)}) for number in range(3)]
        assert [answer.headers["x-cache"] for answer in answers] == ["miss", *["hit"] * 4]
        assert [answer.headers["x-request-id"] for answer in answers[2:]] == ["0", "1", "2"]
        assert {answer.content for answer in answers} == {answers[0].content}
        same = [{**answer.headers, "x-request-id": "", "x-cache": ""} for answer in answers]
        assert same == [same[0]] * 5
        assert here.counted == {"miss": 1, "hit": 4}
        assert here.endpoint.gateway.counts["m", "1"].hits.count == 4
        assert here.nothing_is_kept()


async def test_it_is_refused_as_the_first_one_would_be() -> None:
    async with platform(ttl_s=60) as here:
        for _ in range(3):
            await ask(here)
        assert (await ask(here, **{"x-request-timeout-ms": "soon"})).status_code == 400
        assert (await ask(here, **{"cache-control": "no-cache"})).headers["x-cache"] == "bypass"
        here.endpoint.limits.admission.in_flight += here.endpoint.limits.admission.limit
        assert (await ask(here)).status_code == 429
        here.endpoint.limits.admission.in_flight -= here.endpoint.limits.admission.limit


async def test_the_same_body_that_is_said_to_be_read_otherwise_is() -> None:
    async with platform(ttl_s=60) as here:
        for _ in range(3):
            await ask(here)
        length = {names.INFERENCE_HEADER_CONTENT_LENGTH.decode(): str(len(body(1, 2)) - 1)}
        assert (await ask(here, **length)).status_code == 400
