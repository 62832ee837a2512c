"""A loaded version: answers requests by its task, its batcher and its engine."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from model_service.batcher import Batcher
from model_service.engines.base import Arrays, Engine
from model_service.engines.cancel import CancelToken
from model_service.engines.process import ProcessEngine
from model_service.isolation import Isolation
from model_service.statistics import Parts, Statistics
from model_service.tasks.base import Item, Ran, Task
from service.offload import run_in_if_large
from service.tracing import MODEL, VERSION
from storage.manifest import Manifest
from wire.errors import ONE_AT_FAULT, DeadlineExceeded, EngineFailed, InvalidInput, ServingError, Suspect
from wire.messages import InferRequest, InferResponse
from wire.parameters import check_known
from wire.refusals import Refusals
from wire.spans import Attributes
from wire.tasks.table import task_named
from wire.tensors import Tensor, size_of

# Taking more bytes than this apart, into tokens or elements, takes longer than a trip to a thread. Tensors of numbers
# are used as they came, whatever their size.
_INLINE_BYTES: Final = 4096


class LoadedModel:
    """Engine, batcher and task of one version."""

    def __init__(
        self,
        name: str,
        number: int,
        manifest: Manifest,
        engine: Engine,
        task: Task,
        isolation: Isolation | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.name = name
        self.number = number
        self.manifest = manifest
        self.statistics = Statistics()
        self.refusals = Refusals() if refusals is None else refusals
        self._engine = engine
        self._task = task
        self._reads = task_named(manifest.task).reads
        self._isolation = isolation
        self._outputs = {spec.name for spec in manifest.outputs}
        self.named: Attributes = {MODEL: name, VERSION: str(number)}  # what its spans say
        self._threads = ThreadPoolExecutor(manifest.engine.instances, thread_name_prefix="engine")
        self._batcher = Batcher(
            self._run,
            manifest.batching,
            instances=manifest.engine.instances,
            statistics=self.statistics,
            named=self.named,
        )

    def rows_depend(self, folder: Path, deadline: float) -> str | None:
        """See `invariance.rows_depend`. Blocks."""
        from model_service.invariance import rows_depend

        return rows_depend(self.manifest, self._task, self._engine, folder, deadline)

    @property
    def lost(self) -> str | None:
        """Why it cannot answer any more: its process has died and does not start again. None while it can."""
        return self._engine.lost if isinstance(self._engine, ProcessEngine) else None

    def revive(self) -> None:
        """Have its process started again where it has died while nothing ran."""
        if isinstance(self._engine, ProcessEngine):
            self._engine.revive()

    @property
    def crashes(self) -> int:
        """How often its process has died since it was loaded."""
        return self._engine.crashes if isinstance(self._engine, ProcessEngine) else 0

    @property
    def died_of(self) -> str:
        """What its process died of the last time, in words."""
        return self._engine.died_of if isinstance(self._engine, ProcessEngine) else ""

    @property
    def engine_pid(self) -> int | None:
        """The process of its engine, where it has one of its own and that runs at the moment."""
        return self._engine.pid if isinstance(self._engine, ProcessEngine) else None

    @property
    def waiting_rows(self) -> int:
        return self._batcher.waiting_rows

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer `request` with the outputs that it names, or all of them. Raises ServingError."""
        started = monotonic()
        self.statistics.in_flight += 1
        try:
            response, parts = await self._answer(request)
        except (Exception, asyncio.CancelledError) as error:
            self._count_failure(error, request.members, monotonic() - started)
            raise
        finally:
            self.statistics.in_flight -= 1
        seconds = monotonic() - started
        self.statistics.success.add(seconds)
        self.statistics.answered.add(seconds, parts, request.members)
        self.statistics.latency.observe(seconds, None if request.span is None else request.span.trace_id)
        self.statistics.last_inference = time()
        return response

    def _count_failure(self, error: BaseException, members: int, seconds: float) -> None:
        if isinstance(error, asyncio.CancelledError):
            kind = "ClientGone"
        else:
            kind = type(error).__name__ if isinstance(error, ServingError) else "EngineFailed"
            if members > 1 and (kind == "EngineFailed" or isinstance(error, ONE_AT_FAULT)):
                return  # each of them is asked again by itself, and counts then
        self.statistics.failures[kind].add(seconds * members, members)

    def count_anew(self) -> None:
        """Forget what was counted so far, for which no client had asked."""
        self.statistics = self._batcher.statistics = Statistics()

    async def close(self, timeout_s: float = 30.0) -> None:
        """Answer what is queued, then give the engine back. Memory returns with `memory.give_back`.

        What a hung engine has not answered after `timeout_s` is answered with ModelNotReady.
        """
        await self._batcher.close(timeout_s)
        if self._isolation is not None:
            await self._isolation.close(timeout_s)
        await asyncio.to_thread(self._engine.close)
        self._threads.shutdown(wait=False)

    async def _answer(self, request: InferRequest) -> tuple[InferResponse, Parts]:
        for output in request.outputs:
            if output.name not in self._outputs:
                known = ", ".join(sorted(self._outputs))
                raise InvalidInput(f"the model '{self.name}' has no output '{output.name}'; it has: {known}")
        if request.parameters:
            check_known(request.parameters, self._reads)
        if self.refusals:
            self.refusals.check(request)
        if request.suspect and self._isolation is not None:
            return await self._alone(self._isolation, request)
        rows = self._task.rows(request)
        self._batcher.admit(rows, request.deadline)  # what will be refused costs no work
        large = size_of([tensor for tensor in request.inputs if tensor.datatype == "BYTES"]) > _INLINE_BYTES
        if large:
            with self._batcher.reserve(rows):
                items = await asyncio.to_thread(self._prepare, request)
        else:
            items = self._task.prepare(request)
        submitted = monotonic()
        try:
            results = await self._batcher.submit(items, request.deadline, request.span)
        except Suspect:
            if self._isolation is None:
                raise
            return await self._alone(self._isolation, request)
        except EngineFailed as error:
            if any(0 in tensor.shape for tensor in request.inputs):
                raise InvalidInput(f"the graph takes no input without elements: {error}") from error
            raise
        if large:
            answer = await asyncio.to_thread(self._task.respond, request, items, results)
        else:
            answer = self._task.respond(request, items, results)
        outputs = _choose_outputs(answer.outputs, request)
        return InferResponse(self.name, str(self.number), outputs, answer.parameters), _parts(items, submitted)

    async def _alone(self, isolation: Isolation, request: InferRequest) -> tuple[InferResponse, Parts]:
        if request.send_interim is not None:
            request.send_interim()
        began = monotonic()
        answer = await isolation.infer(request)
        parts = Parts(infer=monotonic() - began)
        return InferResponse(self.name, str(self.number), answer.outputs, answer.parameters), parts

    def _prepare(self, request: InferRequest) -> list[Item]:
        # It may have waited for a thread.
        if request.deadline is not None and request.deadline <= monotonic():
            raise DeadlineExceeded
        return self._task.prepare(request)

    async def _run(self, items: Sequence[Item], cancel: CancelToken) -> Sequence[Any]:
        """One batch."""
        ran = Ran(monotonic())
        size = _bytes_of(*[item.features for item in items]) if len(items) > 1 else 0  # one alone is not copied
        inputs = await run_in_if_large(self._threads, size, self._task.collate, items)
        ran.collated = monotonic()
        try:
            outputs = await self._compute(inputs, cancel)
        finally:
            ran.ended = monotonic()
            for item in items:
                item.ran = ran
        results = await run_in_if_large(self._threads, _bytes_of(outputs), self._task.scatter, items, outputs)
        ran.scattered = monotonic()
        self.statistics.ran(sum([item.rows for item in items]), ran)
        return results

    async def _compute(self, inputs: Arrays, cancel: CancelToken) -> Arrays:
        if isinstance(self._engine, ProcessEngine):
            return await self._engine.compute(inputs, cancel)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.run, inputs, cancel)


def _parts(items: Sequence[Item], submitted: float) -> Parts:
    runs = dict.fromkeys([item.ran for item in items if item.ran is not None])
    if not runs:
        return Parts()  # of no rows
    return Parts(
        min([ran.began for ran in runs]) - submitted,
        sum([ran.collated - ran.began for ran in runs]),
        sum([ran.ended - ran.collated for ran in runs]),
        sum([ran.scattered - ran.ended for ran in runs]),
    )


def _bytes_of(*batches: Arrays) -> int:
    return sum([array.nbytes for arrays in batches for array in arrays.values()])


def _choose_outputs(outputs: list[Tensor], request: InferRequest) -> tuple[Tensor, ...]:
    if not request.outputs:
        return tuple(outputs)
    by_name = {tensor.name: tensor for tensor in outputs}
    return tuple(by_name[output.name] for output in request.outputs)
