"""The spans of batches, recorded after a batch has run from the times in its entries."""

from collections.abc import Sequence
from typing import Any, Final

from model_service.call import Call
from model_service.entry import Entry
from model_service.tasks.base import Ran
from wire.errors import ServingError
from wire.spans import Attributes, Span

ROWS: Final = "headrace.batch.rows"
REQUESTS: Final = "headrace.batch.requests"
TOKENS: Final = "headrace.batch.tokens"  # padding left out
PADDING: Final = "headrace.batch.padding_tokens"


def record_batch(
    entries: Sequence[Entry[Call]], results: Sequence[Any], started: float, ended: float, named: Attributes
) -> None:
    """Record the batch, linked to each of its requests that is recorded, and in each of these its wait and its run."""
    calls = {entry.owner: span for entry in entries if (span := entry.owner.span) is not None}
    if not calls:
        return
    spans = list(calls.values())
    batch = spans[0].begin_shared("batch", started, spans, {**named, **_sizes(entries)})
    errors = [type(result).__name__ for result in results if isinstance(result, ServingError)]
    if errors:
        batch.fail(errors[0])
    batch.end(ended)
    for call, span in calls.items():
        own = [(entry, result) for entry, result in zip(entries, results, strict=True) if entry.owner is call]
        span.begin("queue", own[0][0].arrived, links=[batch]).end(started)
        # One run for all, unless it failed: then each item had one of its own.
        for ran in dict.fromkeys(entry.item.ran for entry, _ in own if entry.item.ran is not None):
            engine = span.begin("engine", ran.collated, {ROWS: _rows(entries, ran)}, links=[batch])
            failed = [r for entry, r in own if entry.item.ran is ran and isinstance(r, ServingError)]
            if failed:
                engine.fail(type(failed[0]).__name__)
            engine.end(ran.ended)


def record_dropped(span: Span, arrived: float, dropped: float) -> None:
    """Record that a request waited in the queue and was dropped."""
    queue = span.begin("queue", arrived, {"headrace.queue.dropped": True})
    queue.end(dropped)


def _rows(entries: Sequence[Entry[Call]], ran: Ran) -> int:
    return sum([entry.item.rows for entry in entries if entry.item.ran is ran])


def _sizes(entries: Sequence[Entry[Call]]) -> Attributes:
    rows = sum([entry.item.rows for entry in entries])
    tokens = sum([entry.item.rows * entry.item.length for entry in entries])
    padded = rows * max([entry.item.length for entry in entries])
    return {ROWS: rows, REQUESTS: len({id(entry.owner) for entry in entries}), TOKENS: tokens, PADDING: padded - tokens}
