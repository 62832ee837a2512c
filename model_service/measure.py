"""How fast a version answers: `python -m model_service.measure FOLDER REQUESTS` loads it and keeps asking.

It reads a manifest from stdin, whose artifact lies in FOLDER. REQUESTS is a JSON list of requests in the Open Inference
Protocol's JSON. One line of JSON comes out: rows a second, the latency's 50th and 99th percentile, and the memory.
"""

import argparse
import asyncio
import itertools
import sys
from pathlib import Path
from time import monotonic
from typing import Any, Final

import orjson

from model_service.loaded_model import LoadedModel
from model_service.opening import open_here
from storage.manifest import Manifest
from wire.codec import decode_request
from wire.messages import InferRequest

WARM_UP: Final = 0.25  # of the time that is measured


async def measure(model: LoadedModel, requests: list[InferRequest], seconds: float, in_flight: int) -> dict[str, float]:
    """Ask for the requests in turn, `in_flight` at a time, for `seconds` after a warm-up. Raises ServingError."""
    turns = itertools.cycle(requests)
    start = monotonic() + WARM_UP * seconds
    end = start + seconds
    latencies: list[float] = []
    rows = 0

    async def client() -> None:
        nonlocal rows
        while (asked := monotonic()) < end:
            request = next(turns)
            await model.infer(request)
            if start <= asked and (answered := monotonic()) <= end:
                latencies.append(answered - asked)
                rows += request.inputs[0].rows

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(client())
    if not latencies:
        raise RuntimeError(f"no request was answered within {seconds:g} s: measure for longer")
    latencies.sort()
    return {
        "rows_per_s": rows / seconds,
        "p50_ms": 1e3 * latencies[len(latencies) // 2],
        "p99_ms": 1e3 * latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_service.measure", description=__doc__)
    parser.add_argument("folder", type=Path, help="the artifact's files")
    parser.add_argument("requests", type=Path, help="a JSON list of requests")
    parser.add_argument("--threads", type=int, default=1, help="unless the manifest says how many")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--in-flight", type=int, default=32, help="requests at a time")
    options = parser.parse_args()
    manifest = Manifest.model_validate_json(sys.stdin.buffer.read())
    asked: list[Any] = orjson.loads(options.requests.read_bytes())
    requests = [decode_request(orjson.dumps(request), None, manifest.name, None) for request in asked]

    async def run() -> dict[str, float]:
        model = open_here(manifest.name, 1, manifest, options.folder, threads=options.threads)
        try:
            return await measure(model, requests, options.seconds, options.in_flight)
        finally:
            await model.close()

    print(orjson.dumps({**asyncio.run(run()), "memory_mb": _memory_mb()}).decode())


def _memory_mb() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
