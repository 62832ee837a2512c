"""What a platform did between two looks at the metrics of its processes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import httpx

from headrace.api import Api, not_ours
from headrace.scrape import Samples, growth, mean, merge, quantile, ratio, read, total, values

if TYPE_CHECKING:
    from storage.views import ReplicaView

LIMIT_S: Final = 2.0  # a worker that takes longer is shown as one that does not answer
ANSWERS: Final = {"hit", "miss", "bypass"}
# The client's own: everything else that is no answer is the platform's fault.
CLIENTS_FAULTS: Final = {"ClientGone", "InvalidInput", "ModelNotFound", "TooLarge", "UnsupportedEncoding"}
REQUESTS: Final = "headrace_gateway_request_seconds"


@dataclass(frozen=True)
class Look:
    """The metrics of the gateway and, by id, of the workers; None of those that do not answer here."""

    at: float
    gateway: Samples
    replicas: Sequence["ReplicaView"]
    workers: dict[str, Samples | None]


async def look(api: Api, http: httpx.AsyncClient, replicas: Sequence["ReplicaView"]) -> Look:
    """Ask all at once; `http` asks the workers. Raises CommandError where no gateway answers."""
    gateway, workers = await asyncio.gather(
        _gateway(api), asyncio.gather(*(_worker(http, replica.url) for replica in replicas))
    )
    return Look(monotonic(), gateway, replicas, {r.id: w for r, w in zip(replicas, workers, strict=True)})


async def _gateway(api: Api) -> Samples:
    response = await api.send("GET", "/metrics")
    try:
        samples = read(response.text)
    except ValueError as error:
        raise not_ours(response.url) from error
    if not response.is_success or not any(name == "headrace_gateway_in_flight" for name, _ in samples):
        raise not_ours(response.url)
    return samples


async def _worker(http: httpx.AsyncClient, url: str) -> Samples | None:
    try:
        return read((await http.get(f"{url}/metrics")).raise_for_status().text)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None


def activity(before: Look, after: Look) -> dict[str, Any]:
    """Plain values, for JSON: rates per second, ratios from 0 to 1, None where nothing was there to measure."""
    seconds = after.at - before.at
    gateway = growth(before.gateway, after.gateway)
    grown = {
        id: growth(earlier, now)
        for id, now in after.workers.items()
        if now is not None and (earlier := before.workers.get(id)) is not None
    }
    return {
        "seconds": round(seconds, 3),
        "gateway": {
            **_answers(gateway, seconds),
            "failing_per_s": _count_failed(gateway) / seconds,
            "in_flight": int(total(after.gateway, "headrace_gateway_in_flight")),
            "in_flight_limit": int(total(after.gateway, "headrace_gateway_in_flight_limit")),
        },
        "models": _models(
            gateway, after.gateway, merge(grown.values()), merge(filter(None, after.workers.values())), seconds
        ),
        "workers": [_worker_now(one, after.workers[one.id], grown.get(one.id), seconds) for one in after.replicas],
    }


def _models(
    gateway: Samples, gateway_now: Samples, workers: Samples, workers_now: Samples, seconds: float
) -> list[dict[str, Any]]:
    """Each version that requests lead to or that did something; version '' has the requests that got no answer."""
    wanted = values(gateway_now, "headrace_gateway_version_workers", "model", "version")
    shares = values(gateway_now, "headrace_gateway_version_share", "model", "version")
    asked = values(gateway, f"{REQUESTS}_count", "model", "version")
    busy = values(workers, "headrace_worker_requests_total", "model", "version")
    shown = {*wanted, *shares, *(key for counts in (asked, busy) for key, count in counts.items() if count)}
    return [
        {
            "model": model,
            "version": version,
            "workers": None if (model, version) not in wanted else int(wanted[model, version]),
            "share": shares.get((model, version)),
            **_answers(gateway, seconds, model=model, version=version),
            **_batches(workers, workers_now, model=model, version=version),
        }
        for model, version in sorted(shown)
    ]


def _answers(grown: Samples, seconds: float, **labels: str) -> dict[str, Any]:
    hits = total(grown, f"{REQUESTS}_count", outcome="hit", **labels)
    misses = total(grown, f"{REQUESTS}_count", outcome="miss", **labels)
    return {
        "requests_per_s": total(grown, f"{REQUESTS}_count", **labels) / seconds,
        "p50_ms": _milliseconds(quantile(grown, REQUESTS, 0.50, outcome=ANSWERS, **labels)),
        "p99_ms": _milliseconds(quantile(grown, REQUESTS, 0.99, outcome=ANSWERS, **labels)),
        "hit_ratio": ratio(hits, hits + misses),
    }


def _count_failed(grown: Samples) -> float:
    return total(grown, f"{REQUESTS}_count") - total(grown, f"{REQUESTS}_count", outcome=ANSWERS | CLIENTS_FAULTS)


def _batches(grown: Samples, now: Samples, **labels: str) -> dict[str, Any]:
    padding = total(grown, "headrace_worker_padding_tokens_total", **labels)
    tokens = total(grown, "headrace_worker_tokens_total", **labels)
    return {
        "waiting_rows": int(total(now, "headrace_worker_waiting_rows", **labels)),
        "queue_p95_ms": _milliseconds(quantile(grown, "headrace_worker_queue_seconds", 0.95, **labels)),
        "batch_rows": mean(grown, "headrace_worker_batch_rows", **labels),
        "padding": ratio(padding, padding + tokens),
    }


def _worker_now(replica: "ReplicaView", now: Samples | None, grown: Samples | None, seconds: float) -> dict[str, Any]:
    """What a worker says itself; None where it says nothing here, or did not at the first look."""

    def rate(name: str) -> float | None:
        return None if grown is None else total(grown, name) / seconds

    def gauge(name: str) -> int | None:
        return None if now is None else int(total(now, name))

    state = "draining" if replica.draining else "running"
    return {
        "url": replica.url,
        "state": f"{state}, not reached from here" if now is None else state,
        "ready": [there.get("state") for there in replica.versions.values()].count("ready"),
        "requests_per_s": rate("headrace_worker_requests_total"),
        "in_flight": gauge("headrace_worker_in_flight"),
        "waiting_rows": gauge("headrace_worker_waiting_rows"),
        "cores": rate("process_cpu_seconds_total"),
        "memory_bytes": gauge("process_resident_memory_bytes"),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
