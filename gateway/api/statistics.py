"""Statistics in Triton's terms, summed over the workers that have a version loaded."""

import asyncio
import logging
from typing import Final, Self

from pydantic import BaseModel, Field, ValidationError

from gateway.balancer import Replica
from gateway.connection import ConnectionFailed
from gateway.membership import Membership
from gateway.worker_client import WorkerClient
from model_service.protocol.errors import WorkerUnavailable

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 2.0


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
    """Of requests, except `compute_*`, which count the rows with the time of their batch."""

    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


class BatchStatistics(Durations):
    """Of the batches of one size."""

    batch_size: int
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


class VersionStatistics(BaseModel):
    """What the workers did for one version since they loaded it. Answers from the response cache are not among it."""

    name: str
    version: str
    last_inference: int = Field(0, description="Milliseconds since the epoch; 0 for never.")
    inference_count: int = Field(0, description="Rows that were computed.")
    execution_count: int = Field(0, description="Batches that ran.")
    inference_stats: InferStatistics = InferStatistics()
    batch_stats: list[BatchStatistics] = []

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


async def statistics(
    membership: Membership, client: WorkerClient, model: str | None = None, version: str | None = None
) -> ModelStatistics:
    """Of the versions that are loaded, or those of one model, or one of them. A worker that is silent is left out.

    Raises WorkerUnavailable where none answers.
    """
    answers = await asyncio.gather(*(_ask(client, replica) for replica in membership.replicas.values()))
    if not any(answer is not None for answer in answers):
        raise WorkerUnavailable(retry_after=1)
    sums: dict[tuple[str, str], VersionStatistics] = {}
    for answer in answers:
        for entry in answer.model_stats if answer else ():
            key = entry.name, entry.version
            sums[key] = sums[key].plus(entry) if key in sums else entry
    wanted = [
        entry
        for (name, number), entry in sorted(sums.items())
        if (model is None or name == model) and (version is None or number == version)
    ]
    return ModelStatistics(model_stats=wanted)


async def _ask(client: WorkerClient, replica: Replica) -> ModelStatistics | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reply = await client.request(replica, b"GET", b"/v2/models/stats")
        return ModelStatistics.model_validate_json(reply.body)
    except (ConnectionFailed, TimeoutError, ValidationError) as error:
        log.warning("worker %s tells no statistics: %s", replica.url, error)
        return None
