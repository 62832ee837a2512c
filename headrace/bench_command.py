"""`headrace bench`: a first look at how fast a model answers."""

import asyncio
import random
from typing import Annotated, Any

import typer

from headrace import options
from headrace.errors import CommandError

REQUESTS = 256  # different ones, sent round and round
VALUES = 2_000_000  # at most, in all of them: to invent so many takes a second
MANY = 10_000  # values in one request, beyond which their JSON would be what is measured


@options.on_platform
def bench(
    platform: options.Platform,
    name: options.Model,
    version: options.Version = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long to ask.")] = 5,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Requests in flight.")] = 16,
    rows: Annotated[int, typer.Option(min=1, max=4096, help="Rows in each request.")] = 1,
    cached: Annotated[bool, typer.Option("--cached", help="Let the response cache answer where it can.")] = False,
) -> None:
    """Ask a model as fast as it answers, with made-up input, and print the rate and the latencies.

    A closed loop, and the load shares the machine: for figures to compare, see loadtests/.
    """
    from headrace.api import model_path
    from headrace.binary_data import encode_request
    from headrace.load import encode, run_closed_loop
    from headrace.output import print_json, print_pairs
    from headrace.sample import count_values, invent_request

    gateway = platform.gateway_url
    metadata = asyncio.run(_metadata(gateway, platform.token, name, version))
    chance = random.Random(0)
    headers = {} if cached else {"cache-control": "no-cache"}
    path = f"{model_path(name, version)}/infer"
    binary_output = _may_be_no_number(metadata)
    rows = _rows_of(metadata, rows)
    values = max(count_values(metadata, rows), 1)
    wire = []
    for _ in range(max(1, min(REQUESTS, VALUES // values))):
        request = invent_request(metadata, rows, chance)
        body, described = encode_request(request, binary_output=binary_output, binary_input=values > MANY)
        wire.append(encode(gateway, path, body, {**described, **headers}))
    measured = asyncio.run(run_closed_loop(gateway, wire, connections=concurrency, seconds=seconds))
    if not measured.latencies:
        said = measured.last_refusal.decode(errors="replace")
        raise CommandError(
            f"not one request was answered with 200, but {measured.refused}: {said}",
            "ask it once with `headrace infer`",
        )
    answered = len(measured.latencies)
    result = {
        "model": name,
        "version": version or "stable",
        "seconds": round(measured.seconds, 2),
        "concurrency": concurrency,
        "rows": rows,
        "requests": answered,
        "refused": measured.refused,
        "requests_per_s": round(answered / measured.seconds, 1),
        "p50_ms": round(1000 * measured.percentile(0.50), 2),
        "p99_ms": round(1000 * measured.percentile(0.99), 2),
    }
    if platform.as_json:
        print_json(result)
    else:
        print_pairs({key: value for key, value in result.items() if value != {}})


def _rows_of(metadata: dict[str, Any], rows: int) -> int:
    """How many rows a request has: those that were asked for, or those that the model has fixed."""
    for spec in metadata["inputs"]:
        own = int(spec["shape"][0]) if spec["shape"] else 1
        if own >= 0 and rows not in (1, own):
            raise CommandError(
                f"input '{spec['name']}' of {metadata['name']} has a first dimension of {own}", "leave out --rows"
            )
        rows = max(rows, own)
    return rows


def _may_be_no_number(metadata: dict[str, Any]) -> bool:
    """Whether an output may hold what JSON cannot. Text models answer no NaN, and most of their clients read JSON."""
    from headrace.binary_data import FLOATS
    from headrace.sample import contract_of

    floats = any(spec["datatype"] in FLOATS for spec in metadata.get("outputs", ()))
    return floats and not contract_of(metadata).takes_text


async def _metadata(url: str, token: str | None, name: str, version: str | None) -> Any:
    from headrace.api import Api

    async with Api.open(url, token) as api:
        return await api.model(name, version)
