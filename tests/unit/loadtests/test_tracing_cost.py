"""What is measured of tracing: that the endpoints do what their names say, and how the rounds become figures."""

import pytest

from loadtests.endpoints import Endpoint, gateway_endpoint, worker_endpoint
from loadtests.tracing import OFF, TRACE, figures
from tests.spans import Recording
from wire import headers as names


async def test_the_gateways_endpoint_computes_its_first_answer_and_has_all_others_cached() -> None:
    recording = Recording()
    endpoint = gateway_endpoint(recording.tracer)
    for _ in range(3):
        await endpoint.ask()
    outcomes = [
        (span.attributes or {}).get("headrace.outcome") for span in recording.all("POST /v2/models/{model}/infer")
    ]
    assert outcomes == ["miss", "hit", "hit"]


@pytest.mark.parametrize(("flags", "recorded"), [(b"00", []), (b"01", ["queue", "engine"])])
async def test_the_workers_endpoint_records_what_the_gateway_says(flags: bytes, recorded: list[str]) -> None:
    recording = Recording()
    await worker_endpoint(recording.tracer, {names.TRACEPARENT: TRACE + flags}).ask()
    assert [span.name for span in recording.spans if span.name in ("queue", "engine")] == recorded


async def test_an_endpoint_that_fails_is_not_measured() -> None:
    good = worker_endpoint(Recording().tracer, {})
    with pytest.raises(RuntimeError, match="400"):
        await Endpoint(good.app, {}, b"no JSON").ask()


def test_a_ratio_is_of_each_rounds_own_off_so_that_a_slow_round_does_not_count() -> None:
    found = figures({"endpoint": {OFF: [10, 100, 10], "on": [11, 110, 22]}})
    assert {figure["what"]: figure["value"] for figure in found} == {"endpoint: off": 10, "endpoint: on": 22}
    assert found[1]["notes"] == ["1.100 times that of off"]
