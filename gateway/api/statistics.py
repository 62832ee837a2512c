"""Statistics in Triton's terms: summed over the workers that have a version loaded, with what the gateways answered
from their cache."""

import asyncio
import logging
from operator import itemgetter
from typing import Final, Self

from pydantic import BaseModel, Field, ValidationError

from gateway.balancer import Replica
from gateway.counts import VersionCounts, read_counts
from gateway.membership import Membership
from gateway.siblings import Siblings
from gateway.worker_client import WorkerClient
from service.http_client import ConnectionFailed
from service.tally import Tally
from service.turns import Breath
from wire.errors import WorkerUnavailable

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 2.0

Written = dict[tuple[str, str], bytes]  # by model and version: VersionStatistics as JSON, which many ask for


class Duration(BaseModel):
    """How often, and how many nanoseconds altogether."""

    count: int = 0
    ns: int = 0

    def plus(self, other: Self) -> Self:
        return type(self)(count=self.count + other.count, ns=self.ns + other.ns)


class Durations(BaseModel):
    """A model whose fields are durations."""

    def plus(self, other: Self) -> Self:
        durations = {
            name: mine.plus(getattr(other, name))
            for name in type(self).model_fields
            if isinstance(mine := getattr(self, name), Duration)
        }
        return self.model_copy(update=durations)


class InferStatistics(Durations):
    """Of clients' requests, each with its own time, also where several were sent to a worker as one.

    `queue` is how long a request waited in a worker until its first batch began, `compute_*` what its batches took,
    whichever others were in them. As in Triton, answers from the cache are among `success` and `queue`, and not among
    `compute_*`; so are those of requests that waited for an equal one's, which are not among `cache_*` either. `fail`
    counts what workers were asked: requests that were sent as one fail as one, and each that is then asked by itself
    again.
    """

    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()


class BatchStatistics(Durations):
    """Of the batches of one size."""

    batch_size: int
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


class VersionStatistics(BaseModel):
    """What the workers did for one version since each of them has loaded it, and what the gateways answered in their
    place since they were started.

    So what workers count begins at 0 again once the version is unloaded and loaded, or a worker is started anew, while
    `cache_hit`, `cache_miss` and the answers of gateways in `success` and `queue` go on. A worker's first requests,
    which it makes itself before the version is ready, count nowhere.
    """

    name: str
    version: str
    last_inference: int = Field(0, description="Milliseconds since the epoch; 0 for never. Of one that was computed.")
    inference_count: int = Field(0, description="Rows that were computed.")
    execution_count: int = Field(0, description="Batches that ran.")
    inference_stats: InferStatistics = InferStatistics()
    batch_stats: list[BatchStatistics] = []

    def with_counts(self, counts: VersionCounts) -> Self:
        """Add the answers that no worker knows of."""
        hits, misses, shared = map(_duration, (counts.hits, counts.misses, counts.shared))
        stats = self.inference_stats
        more = {
            "success": stats.success.plus(hits).plus(shared),
            "queue": stats.queue.plus(Duration(count=hits.count + shared.count)),
            "cache_hit": hits,
            "cache_miss": misses,
        }
        return self.model_copy(update={"inference_stats": stats.model_copy(update=more)})

    def plus(self, other: Self) -> Self:
        batches = {batch.batch_size: batch for batch in self.batch_stats}
        for batch in other.batch_stats:
            mine = batches.get(batch.batch_size)
            batches[batch.batch_size] = mine.plus(batch) if mine else batch
        return type(self)(
            name=self.name,
            version=self.version,
            last_inference=max(self.last_inference, other.last_inference),
            inference_count=self.inference_count + other.inference_count,
            execution_count=self.execution_count + other.execution_count,
            inference_stats=self.inference_stats.plus(other.inference_stats),
            batch_stats=[batches[size] for size in sorted(batches)],
        )


class ModelStatistics(BaseModel):
    """One entry for each version that is loaded."""

    model_stats: list[VersionStatistics]


def select(all_: Written, model: str | None = None, version: str | None = None) -> bytes:
    """ModelStatistics as JSON: of all models, of one, or of one of its versions."""
    chosen = (entry for (name, number), entry in all_.items() if model in (None, name) and version in (None, number))
    return b'{"model_stats":[' + b",".join(chosen) + b"]}"


async def statistics(membership: Membership, client: WorkerClient, siblings: Siblings) -> Written:
    """Of the versions that are loaded. A worker that is silent is left out.

    Raises WorkerUnavailable where none answers.
    """
    breath = Breath()
    counts = read_counts((await siblings.figures()).collect())
    answers = await asyncio.gather(*(_ask(client, replica) for replica in membership.replicas.values()))
    if not any(answer is not None for answer in answers):
        raise WorkerUnavailable(retry_after=1)
    sums: dict[tuple[str, str], VersionStatistics] = {}
    for answer in answers:
        for entry in answer.model_stats if answer else ():
            key = entry.name, entry.version
            sums[key] = sums[key].plus(entry) if key in sums else entry
            await breath()
    written = {}
    for key, entry in sorted(sums.items(), key=itemgetter(0)):
        known = entry.with_counts(counts[key]) if key in counts else entry
        written[key] = known.model_dump_json().encode()
        await breath()
    return written


def _duration(count: Tally) -> Duration:
    return Duration(count=count.count, ns=int(count.seconds * 1e9))


async def _ask(client: WorkerClient, replica: Replica) -> ModelStatistics | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await client.request(replica, b"GET", b"/v2/models/stats")
        return ModelStatistics.model_validate_json(reply.body)
    except (ConnectionFailed, TimeoutError, ValidationError) as error:
        log.warning("worker %s tells no statistics: %s", replica.url, error)
        return None
