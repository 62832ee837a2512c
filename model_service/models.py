"""A loaded version, ready to answer, and the set of those that this worker has."""

import asyncio
import ctypes
import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from model_service.batcher import Batcher
from model_service.engines.base import Engine
from model_service.protocol.errors import DeadlineExceeded, InvalidInput, ModelNotFound, ServingError
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.tensors import Tensor
from model_service.protocol.tracing import MODEL, VERSION, Attributes
from model_service.statistics import Statistics
from model_service.tasks.base import Item, Task
from storage.manifest import Manifest

# Taking more bytes than this apart, into tokens or elements, takes longer than a trip to a thread. Tensors of numbers
# are used as they came, whatever their size.
_INLINE_BYTES: Final = 4096


class LoadedModel:
    """Engine, batcher and task of one version."""

    def __init__(self, name: str, number: int, manifest: Manifest, engine: Engine, task: Task) -> None:
        self.name = name
        self.number = number
        self.manifest = manifest
        self.statistics = Statistics()
        self._engine = engine
        self._task = task
        self._outputs = {spec.name for spec in manifest.outputs}
        self.named: Attributes = {MODEL: name, VERSION: str(number)}  # what its spans say
        self._batcher = Batcher(
            self._run,
            manifest.batching,
            instances=manifest.engine.instances,
            statistics=self.statistics,
            named=self.named,
        )

    @classmethod
    def open(cls, name: str, number: int, manifest: Manifest, folder: Path, *, threads: int) -> "LoadedModel":
        """Load the artifact in `folder`, whose engine instances share `threads` threads. Blocks.

        Raises EngineError, and what the task raises where its files are wrong.
        """
        # Imported here, as a worker without a model does without ONNX Runtime's and the tokenizers' memory.
        from model_service.engines.open import open_engine
        from model_service.tasks.open import open_task

        engine = open_engine(manifest, folder, threads=max(1, threads // manifest.engine.instances))
        try:
            return cls(name, number, manifest, engine, open_task(manifest, folder, engine))
        except BaseException:
            engine.close()
            raise

    @property
    def waiting_rows(self) -> int:
        return self._batcher.waiting_rows

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer `request` with the outputs that it names, or all of them. Raises ServingError."""
        started = monotonic()
        self.statistics.in_flight += 1
        try:
            response = await self._answer(request)
        except (Exception, asyncio.CancelledError) as error:
            kind = type(error).__name__ if isinstance(error, ServingError) else "EngineFailed"
            if isinstance(error, asyncio.CancelledError):
                kind = "ClientGone"
            self.statistics.failures[kind].add(monotonic() - started)
            raise
        finally:
            self.statistics.in_flight -= 1
        seconds = monotonic() - started
        self.statistics.success.add(seconds)
        self.statistics.latency.observe(seconds, None if request.span is None else request.span.trace_id)
        self.statistics.last_inference = time()
        return response

    async def close(self, timeout_s: float = 30.0) -> None:
        """Answer what is queued, then give the engine back. Memory returns with `give_memory_back`.

        What a hung engine has not answered after `timeout_s` is answered with ModelNotReady.
        """
        await self._batcher.close(timeout_s)
        self._engine.close()

    async def _answer(self, request: InferRequest) -> InferResponse:
        for output in request.outputs:
            if output.name not in self._outputs:
                known = ", ".join(sorted(self._outputs))
                raise InvalidInput(f"the model '{self.name}' has no output '{output.name}'; it has: {known}")
        rows = self._task.rows(request)
        self._batcher.admit(rows, request.deadline)  # what will be refused costs no work
        large = sum([len(tensor.data) for tensor in request.inputs if tensor.datatype == "BYTES"]) > _INLINE_BYTES
        if large:
            with self._batcher.reserved(rows):
                items = await asyncio.to_thread(self._prepare, request)
        else:
            items = self._task.prepare(request)
        results = await self._batcher.submit(items, request.deadline, request.span)
        if large:
            answer = await asyncio.to_thread(self._task.respond, request, items, results)
        else:
            answer = self._task.respond(request, items, results)
        return InferResponse(self.name, str(self.number), _chosen(answer.outputs, request), answer.parameters)

    def _prepare(self, request: InferRequest) -> list[Item]:
        # It may have waited for a thread.
        if request.deadline is not None and request.deadline <= monotonic():
            raise DeadlineExceeded
        return self._task.prepare(request)

    def _run(self, items: Sequence[Item]) -> Sequence[Any]:
        """One batch, in a thread."""
        start = monotonic()
        inputs = self._task.collate(items)
        collated = monotonic()
        try:
            outputs = self._engine.run(inputs)
        finally:
            ran = monotonic()
            times = (collated, ran)
            for item in items:
                item.ran = times
        results = self._task.scatter(items, outputs)
        rows = sum([item.rows for item in items])
        self.statistics.ran(len(items), rows, collated - start, ran - collated, monotonic() - ran)
        return results


class Models:
    """The loaded versions of this worker, by model and number."""

    def __init__(self) -> None:
        self._loaded: dict[str, dict[int, LoadedModel]] = {}

    def __iter__(self) -> Iterator[LoadedModel]:
        return (model for versions in self._loaded.values() for model in versions.values())

    def add(self, model: LoadedModel) -> None:
        self._loaded.setdefault(model.name, {})[model.number] = model

    def remove(self, model: LoadedModel) -> None:
        versions = self._loaded.get(model.name, {})
        # A model that was removed and added anew begins with the same numbers: what is there may be its successor.
        if versions.get(model.number) is model:
            del versions[model.number]
        if not versions:
            self._loaded.pop(model.name, None)

    def get(self, name: str, version: str | None = None) -> LoadedModel:
        """That version, or the highest one. Raises ModelNotFound, saying what is here."""
        versions = self._loaded.get(name)
        if versions is None:
            raise ModelNotFound(f"the model '{name}' is not loaded on this worker")
        if version is None:
            return versions[max(versions)]
        model = versions.get(int(version)) if version.isdecimal() and len(version) < 10 else None
        if model is None:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(
                f"version {version} of the model '{name}' is not loaded on this worker; it has: {known}"
            )
        return model

    def versions(self, name: str) -> list[int]:
        return sorted(self._loaded.get(name, ()))


def give_memory_back() -> None:
    """Return what unloaded models held to the system: glibc keeps it otherwise."""
    gc.collect()
    if _malloc_trim is not None:
        _malloc_trim(0)


def use_one_arena() -> None:
    """Have all threads share one heap; to be called before they start.

    glibc gives each thread a heap of its own otherwise, and of each up to 64 MB stay whatever `give_memory_back` does.
    """
    if _mallopt is not None:
        _mallopt(_M_ARENA_MAX, 1)


def _of_glibc(name: str) -> Callable[..., Any] | None:
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # another libc
        return None
    return function


_M_ARENA_MAX: Final = -8
_malloc_trim: Final = _of_glibc("malloc_trim")
_mallopt: Final = _of_glibc("mallopt")


def _chosen(outputs: list[Tensor], request: InferRequest) -> tuple[Tensor, ...]:
    if not request.outputs:
        return tuple(outputs)
    by_name = {tensor.name: tensor for tensor in outputs}
    return tuple(by_name[output.name] for output in request.outputs)
