"""`headrace top`: what the platform does right now."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace import options
from headrace.registry import open_registry

if TYPE_CHECKING:
    from rich.console import Group

    from headrace.activity import Look

MODEL = (
    *("model", "version", "workers", "share", "req/s", "p50 ms", "p99 ms", "hits"),
    *("waiting", "queue ms", "batch"),
)
WORKER = ("worker", "state", "ready", "req/s", "in flight", "waiting", "cores", "memory MB")


@options.on_platform
def top(
    platform: options.Platform,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that a frame is about.")] = 2,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end; so does --json.")] = False,
) -> None:
    """Models, workers and the cache, live, until Ctrl-C. Where the output is no terminal, one frame."""
    from headrace.output import print_json, print_whole

    if platform.as_json:
        print_json(asyncio.run(_first(platform, interval)))
    elif once or not sys.stdout.isatty():
        print_whole(_draw(asyncio.run(_first(platform, interval))))
    else:
        with suppress(KeyboardInterrupt):
            asyncio.run(_live(platform, interval))


async def _first(platform: options.Platform, interval: float) -> dict[str, Any]:
    async with aclosing(_frames(platform, interval)) as frames:
        return await anext(frames)


async def _live(platform: options.Platform, interval: float) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(f"measuring for {interval:g} s", console=Console(highlight=False), screen=True) as live:
        async with aclosing(_frames(platform, interval)) as frames:
            async for frame in frames:
                live.update(_draw(frame), refresh=True)


async def _frames(platform: options.Platform, interval: float) -> AsyncGenerator[dict[str, Any], None]:
    """A frame after each interval, for ever. Raises CommandError once the platform does not answer."""
    import httpx

    from headrace.activity import LIMIT_S, activity, look
    from headrace.api import Api

    async with (
        Api.open(platform.gateway_url, platform.token) as api,
        open_registry(platform) as registry,
        httpx.AsyncClient(timeout=LIMIT_S) as http,
    ):

        async def now() -> "Look":
            return await look(api, http, await registry.replicas())

        before = await now()
        while True:
            await asyncio.sleep(interval)
            after = await now()
            yield {"url": platform.gateway_url, **activity(before, after)}
            before = after


def _draw(frame: dict[str, Any]) -> "Group":
    from rich.console import Group

    from headrace.output import table

    gateway = frame["gateway"]
    head = [
        frame["url"],
        f"{_number(gateway['requests_per_s'])} requests/s, {_number(gateway['failing_per_s'])} failing/s",
        f"p50 {_number(gateway['p50_ms'])} ms  p99 {_number(gateway['p99_ms'])} ms",
        f"hits {_percent(gateway['hit_ratio'])}",
        f"in flight {gateway['in_flight']} of {gateway['in_flight_limit']}",
    ]
    models, workers = map(_model, frame["models"]), map(_worker, frame["workers"])
    return Group("  ".join(head), "", table(MODEL, models), "", table(WORKER, workers))


def _model(row: dict[str, Any]) -> list[str]:
    return [
        row["model"] or "unknown",
        row["version"] or "-",  # no answer, so none that can be told
        _number(row["workers"]),
        _percent(row["share"]),
        *(_number(row[name]) for name in ("requests_per_s", "p50_ms", "p99_ms")),
        _percent(row["hit_ratio"]),
        *(_number(row[name]) for name in ("waiting_rows", "queue_p95_ms", "batch_rows")),
    ]


def _worker(row: dict[str, Any]) -> list[str]:
    megabytes = None if row["memory_bytes"] is None else row["memory_bytes"] / 1e6
    return [
        row["url"],
        row["state"],
        *(_number(row[name]) for name in ("ready", "requests_per_s", "in_flight", "waiting_rows", "cores")),
        _number(megabytes),
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
