"""Finds out, in a version's trial, whether rows are answered beside other rows as they are alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np

from model_service import golden
from model_service.engines.base import Array, Arrays, Engine, EngineError, OutOfMemory
from model_service.entry import Entry
from model_service.probes import ROWS, probes, texts
from model_service.queue import Queue
from model_service.tasks.base import Item, Task
from storage.manifest import Manifest
from wire.errors import ServingError
from wire.messages import InferRequest
from wire.tasks.table import task_named
from wire.tensors import Tensor, join_bytes

# Sums of floating-point numbers come out differently in another order, by parts of the largest number in an answer.
_ROUNDING: Final = {2: 3e-2, 4: 1e-3, 8: 1e-6}
# Where a model says itself that its answers vary, but not by how much, only what makes them others' counts.
_VARYING: Final = 0.25
_MOST_ROWS: Final = 64


class _Late(Exception):
    """There is no more time to compare."""


def rows_depend(manifest: Manifest, task: Task, engine: Engine, folder: Path, deadline: float) -> str | None:
    """How a row's answer differs beside other rows; None where it does not, or where no answers were to be had.

    Rows are those of the golden cases, and made up. They run alone, in batches as the queue forms them, in another
    order, and beside rows of NaN, infinities and extremes. Blocks, until `deadline` (monotonic) or a run longer; what
    the graph does to its process, it may do here.
    """
    if manifest.batching.max_rows == 1:
        return None
    comparison = _Comparison(manifest, task, engine, deadline)
    try:
        for items, strange in _questions(manifest, task, folder):
            if (found := comparison.without_rows(items)) is not None:
                return found
            try:
                alone = [comparison.run([item])[0] for item in items]
            except (ServingError, EngineError, ValueError):
                continue  # not what the model takes
            if found := comparison.differs(items, alone, strange):
                return found
            if strange:
                break  # what it takes was found: more guesses say no more
    except (_Late, OutOfMemory, MemoryError):
        pass
    return None


class _Comparison:
    def __init__(self, manifest: Manifest, task: Task, engine: Engine, deadline: float) -> None:
        self._batching = manifest.batching
        self._task, self._engine, self._deadline = task, engine, deadline

    def run(self, items: Sequence[Item]) -> list[Any]:
        return list(self._task.scatter(items, self._outputs(items)))

    def _outputs(self, items: Sequence[Item]) -> Arrays:
        if monotonic() > self._deadline:
            raise _Late
        return self._engine.run(self._task.collate(items))

    def without_rows(self, items: Sequence[Item]) -> str | None:
        """What shows that the graph's answers have no rows: one row has not one, or none where two together have."""
        try:
            outputs = self._outputs(items[:1])
        except OutOfMemory:
            raise
        except (EngineError, ValueError):
            return self._only_together(items)
        try:
            self._task.scatter(items[:1], outputs)
        except EngineError as error:
            return str(error)
        return None

    def _only_together(self, items: Sequence[Item]) -> str | None:
        if len(items) < 2 or any(item.group != items[0].group for item in items):
            return None
        try:
            self._outputs(items[:2])
        except (EngineError, ValueError):
            return None
        return "two rows are answered together that are not alone"

    def differs(self, items: Sequence[Item], alone: Sequence[Any], strange: Mapping[str, Item]) -> str | None:
        if any(_difference(one, self.run([item])[0], 0.0, 0.0) for one, item in zip(alone, items, strict=True)):
            return None  # it never answers the same
        count = max(1, min(self._batching.max_rows, _MOST_ROWS) // len(items))
        every, order = list(range(len(items))) * count, list(range(len(items)))[::-1]
        # What only so many rows get, as where a graph counts them, other numbers of rows don't show.
        for places in (every, order, *(order[:fewer] for fewer in range(2, len(order)))):
            if found := self._compare("other rows", [items[at] for at in places], [alone[at] for at in places]):
                return found
        # Of what varies by as much as it says, rows as they come say enough.
        return self._beside_strangers(items, alone, strange) if self._batching.batch_invariant else None

    def _beside_strangers(self, items: Sequence[Item], alone: Sequence[Any], strange: Mapping[str, Item]) -> str | None:
        for kind, item in strange.items():
            try:
                self.run([item])
            except (ServingError, EngineError, ValueError):
                continue  # not what the model takes
            for odd in (0, 1):
                mixed = [item if at % 2 == odd else own for at, own in enumerate(items)]
                answers = [None if at % 2 == odd else answer for at, answer in enumerate(alone)]
                if found := self._compare(f"rows of {kind}", mixed, answers):
                    return found
        return None

    def _compare(self, beside: str, items: Sequence[Item], alone: Sequence[Any]) -> str | None:
        queue: Queue[int] = Queue(self._batching)
        for at, item in enumerate(items):
            queue.add(Entry(item, at, at, 0.0))
        while queue:
            batch = queue.take(lambda owner: True)
            if len(batch) == 1:
                continue
            try:
                answers = self.run([entry.item for entry in batch])
            except OutOfMemory:
                raise
            except (ServingError, EngineError, ValueError) as error:
                return f"rows that are answered alone are not beside {beside}: {error}"
            for entry, answer in zip(batch, answers, strict=True):
                expected = alone[entry.index]
                if expected is not None and (found := self._difference(expected, answer)):
                    return f"a row is answered otherwise beside {beside}: {found}"
        return None

    def _difference(self, expected: Any, answer: Any) -> str | None:
        batching = self._batching
        if batching.batch_invariant:
            return _difference(expected, answer, None, 0.0)
        if batching.tolerance is None:
            return _difference(expected, answer, _VARYING, 0.0, whole=False)
        return _difference(expected, answer, 0.0, batching.tolerance, whole=False)


def _difference(expected: Any, answer: Any, part: float | None, told: float, *, whole: bool = True) -> str | None:
    """What sets two answers apart by more than a `part` of the largest number in the expected one (None: rounding).

    Or by more than `told` in each element as golden cases count it. Elements that are no floating-point numbers must be
    equal, unless they are left out of it.
    """
    if isinstance(expected, Mapping):
        for name, array in expected.items():
            if found := _difference(array, answer[name], part, told, whole=whole):
                return f"output '{name}' {found}"
        return None
    if expected.shape != answer.shape:
        return f"has the shape {list(answer.shape)}, alone {list(expected.shape)}"
    if expected.dtype.kind != "f":
        return "has other elements" if whole and not np.array_equal(expected, answer) else None
    return _apart(expected, answer, part, told)


def _apart(expected: Array, answer: Array, part: float | None, told: float) -> str | None:
    if part is None:
        part = _ROUNDING[expected.dtype.itemsize]
    want, have = expected.astype(np.float64), answer.astype(np.float64)
    finite = np.abs(want[np.isfinite(want)])
    near = part * (finite.max() if finite.size else 0.0) + told * np.maximum(
        1.0, np.where(np.isfinite(want), want, 1.0)
    )
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(want - have)
        same = (want == have) | (np.isnan(want) & np.isnan(have)) | (np.isfinite(off) & (off <= near))
    return None if same.all() else f"is off by {off[~same].max():.3g}"


def _questions(manifest: Manifest, task: Task, folder: Path) -> Any:
    """Items that are to share batches, and strange ones by kind: golden cases first, then guesses."""
    if manifest.golden is not None:
        cases, _ = golden.read(folder / manifest.golden, manifest.name)
        items = [item for case in cases[:ROWS] for item in task.prepare(case.request)][:ROWS]
        yield items, {}
    if task_named(manifest.task).takes_text:
        ordinary, strange = texts()
        yield [_text_item(manifest, task, text) for text in ordinary], dict(_strange_texts(manifest, task, strange))
        return
    for probe in probes(manifest):
        try:
            yield (
                [task.prepare(row)[0] for row in probe.rows],
                {kind: task.prepare(row)[0] for kind, row in probe.strange.items()},
            )
        except ServingError:
            continue


def _strange_texts(manifest: Manifest, task: Task, strange: Sequence[bytes]) -> Any:
    for text in strange:
        try:
            yield repr(text.decode())[:30], _text_item(manifest, task, text)
        except ServingError:
            continue  # a text without tokens, for example


def _text_item(manifest: Manifest, task: Task, text: bytes) -> Item:
    tensor = Tensor(manifest.inputs[0].name, "BYTES", (1,), join_bytes([text]))
    return task.prepare(InferRequest(manifest.name, None, [tensor]))[0]
