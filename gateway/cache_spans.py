"""The spans of the response cache, recorded after the lookup from what it has noted down (`cache.lookup.Lookup`)."""

from time import monotonic
from typing import Final

from cache.lookup import Lookup
from wire.spans import Attributes, Span

CACHE: Final = "headrace.cache"  # hit, miss or join
STORE: Final = "headrace.cache.store"  # memory or shared, where it was a hit
WAITED: Final = "headrace.cache.waited"  # whether another gateway process was computing the same
_REDIS: Final[Attributes] = {"db.system.name": "redis"}


def record_peek(span: Span, began: float) -> None:
    """Record a hit in this process's memory."""
    span.begin("cache", began, {CACHE: "hit", STORE: "memory"}).end(monotonic())


def record_lookup(span: Span, began: float, lookup: Lookup, error: str | None = None) -> None:
    """Record a lookup as a span `cache`, and its question to Redis as a span in it.

    After a miss the span ends before the computation begins. For a request that joined another one's computation it
    lasts until the answer is there, and is linked to that other request. `error` is the class of the exception that
    ended the request; after a miss it came from the computation, so the span is not marked as failed.
    """
    links = [lookup.joined] if lookup.joined is not None else []
    cache = span.begin("cache", began, links=links)
    if lookup.asked is not None:
        redis = cache.begin("redis", lookup.asked, _REDIS, kind="client")
        redis.end(lookup.answered or monotonic())
    if lookup.outcome is not None:
        cache.set({CACHE: lookup.outcome})
    if lookup.store is not None:
        cache.set({STORE: lookup.store})
    if lookup.waited:
        cache.set({WAITED: True})
    if error is not None and lookup.outcome != "miss":
        cache.fail(error)
    cache.end(lookup.decided or monotonic())
