"""A batch: its items run together and, where that fails, once more one by one, so that only those at fault fail."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from model_service.call import Call
from model_service.engines.base import EngineCrashed, EngineLost, OutputsTooLarge
from model_service.engines.cancel import CancelToken
from model_service.entry import Entry
from model_service.tasks.base import Item
from wire.errors import EngineFailed, ModelNotReady, ServingError, Suspect, TooLarge

Run = Callable[[Sequence[Item], CancelToken], Awaitable[Sequence[Any]]]


class Batch:
    """Entries that run together, and what ends their run once nobody waits for any of them."""

    __slots__ = ("cancel", "entries", "rows", "started")

    def __init__(self, entries: list[Entry[Call]], rows: int, started: float) -> None:
        self.entries = entries
        self.rows = rows
        self.started = started
        self.cancel = CancelToken()

    def cancel_if_unwanted(self) -> None:
        if all([entry.owner.future.done() for entry in self.entries]):
            self.cancel.cancel()


async def run_batch(run: Run, batch: list[Entry[Call]], cancel: CancelToken) -> list[Any]:
    """What `run` makes of the batch; in place of a result, the error of an item that fails on its own too."""
    try:
        results = list(await run([entry.item for entry in batch], cancel))
        if len(results) != len(batch):
            raise EngineFailed(f"the model gave {len(results)} results for {len(batch)} items")
        return results
    except EngineCrashed as error:
        return [Suspect(f"the model's process {error} while it computed this") for _ in batch]
    except EngineLost as error:
        lost = ModelNotReady(f"the model cannot run on this worker: {error}", retry_after=1)
        lost.__cause__ = error
        return [lost for _ in batch]
    except Exception as error:
        if len(batch) == 1:
            return [error if isinstance(error, ServingError) else _as_engine_failure(error)]
    results, failed = [], set()
    for entry in batch:
        call, result = entry.owner, None
        # Whoever no longer waits for an answer gets no second run.
        if call not in failed and not call.future.done():
            result = (await run_batch(run, [entry], cancel))[0]
        if isinstance(result, ServingError):
            failed.add(call)
        results.append(result)
    return results


def _as_engine_failure(error: Exception) -> ServingError:
    if isinstance(error, OutputsTooLarge):
        return TooLarge(str(error))
    failed = EngineFailed(f"the model failed: {error}")
    failed.__cause__ = error  # whose fault it is, for whoever loads the version
    return failed
