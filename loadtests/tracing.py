"""What tracing costs a request: processor time of both endpoints, by turns in one process, off and at several shares.

It is the time of all threads, those that encode and send spans included; whoever receives them answers at once. Off, a
request makes a few calls that it would not make without tracing: these are measured alone, as there are no endpoints
without them.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import uvloop
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from loadtests.endpoints import Endpoint, gateway_endpoint, worker_endpoint
from loadtests.envoy_rate import workers as receivers
from loadtests.results import Figure, Result, figure, result
from service.asgi import Headers
from service.otel import OtelTracer, Sampling
from service.trace_context import recorded_trace
from service.tracing import UNTRACED, Tracer
from wire import headers as names

ROUNDS: Final = 40
REQUESTS: Final = 640
TOGETHER: Final = 32  # requests at a time to the worker
QUEUE: Final = 1 << 16  # of spans: none is dropped, or it would cost nothing
TRACE: Final = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
OFF: Final = "off"
GATEWAY: Final = "gateway's endpoint, cached answer"
WORKER: Final = f"worker's endpoint, batcher, thread and overhead model, {TOGETHER} at a time"


@dataclass(frozen=True)
class Contender:
    """`load` makes that many requests; `flush` sends the spans that they left."""

    load: Callable[[int], Awaitable[None]]
    flush: Callable[[], object] = lambda: None


def measure() -> Result:
    """Every endpoint with every setting, by turns."""
    rounds = uvloop.run(_measure())
    about = (
        f"processor time of a request in one process, medians of {ROUNDS} rounds of {REQUESTS} requests by turns;"
        " ratios are medians of each round's"
    )
    return result("tracing", about, figures(rounds), {"us": rounds})


def figures(rounds: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Figure]:
    """Of microseconds by endpoint, setting and round."""
    found = []
    for endpoint, settings in rounds.items():
        for setting, times in settings.items():
            ratio = statistics.median(one / off for one, off in zip(times, settings[OFF], strict=True))
            notes = [] if setting == OFF else [f"{ratio:.3f} times that of {OFF}"]
            found.append(figure(f"{endpoint}: {setting}", statistics.median(times), "us", notes=notes))
    return found


async def _measure() -> dict[str, dict[str, list[float]]]:
    with receivers() as ports:
        url = f"http://127.0.0.1:{ports[0]}/v1/traces"
        contenders = {GATEWAY: await _gateway(url), WORKER: _worker(url)}
        rounds: dict[str, dict[str, list[float]]] = {
            endpoint: {setting: [] for setting in settings} for endpoint, settings in contenders.items()
        }
        for number in range(ROUNDS + 1):
            for endpoint, settings in contenders.items():
                for setting, contender in settings.items():
                    us = await _us(contender)
                    if number:  # the first warms up
                        rounds[endpoint][setting].append(us)
    return rounds


async def _us(contender: Contender) -> float:
    began = time.process_time()
    await contender.load(REQUESTS)
    contender.flush()
    return (time.process_time() - began) * 1e6 / REQUESTS


async def _gateway(url: str) -> dict[str, Contender]:
    async def contender(share: float | None) -> Contender:
        tracer, flush = _tracer(url, share)
        endpoint = gateway_endpoint(tracer)
        await endpoint.ask()  # which is computed, and all others cached
        return Contender(lambda count: _one_by_one(endpoint, count), flush)

    shares = {"0% recorded": 0.0, "1% recorded": 0.01, "100% recorded": 1.0}
    return {
        OFF: await contender(None),
        "the calls that off makes, alone": Contender(_calls_while_off),
        **{setting: await contender(share) for setting, share in shares.items()},
    }


def _worker(url: str) -> dict[str, Contender]:
    def contender(share: float | None, headers: Headers) -> Contender:
        tracer, flush = _tracer(url, share)
        endpoint = worker_endpoint(tracer, headers)
        return Contender(lambda count: _together(endpoint, count), flush)

    return {
        OFF: contender(None, {}),
        "0% recorded": contender(1.0, {names.TRACEPARENT: TRACE + b"00"}),  # as the gateway says for each request
        "100% recorded": contender(1.0, {names.TRACEPARENT: TRACE + b"01"}),
    }


def _tracer(url: str, share: float | None) -> tuple[Tracer, Callable[[], object]]:
    if share is None:
        return UNTRACED, lambda: None
    processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=url), max_queue_size=QUEUE)
    return OtelTracer(processor, Sampling(share), Resource.get_empty()), processor.force_flush


async def _one_by_one(endpoint: Endpoint, count: int) -> None:
    for _ in range(count):
        await endpoint.ask()


async def _together(endpoint: Endpoint, count: int) -> None:
    for _ in range(count // TOGETHER):
        await asyncio.gather(*(endpoint.ask() for _ in range(TOGETHER)))


async def _calls_while_off(count: int) -> None:
    tracer: Tracer = UNTRACED
    headers: Headers = {}
    for _ in range(count):
        span = tracer.request("POST", headers, 0.0)
        recorded_trace(headers)
        # Whether there is a span is asked at each step: admission, cache, log and end.
        _ = span is not None, names.TRACEPARENT in headers, span is not None, span is not None, span is not None
