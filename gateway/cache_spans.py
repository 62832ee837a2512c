"""What a trace says of the response cache, told after the fact by what the lookup left behind."""

from time import monotonic
from typing import Final

from cache.lookup import Lookup
from model_service.protocol.tracing import Attributes, Span

CACHE: Final = "headrace.cache"  # hit, miss or join
STORE: Final = "headrace.cache.store"  # memory or redis, where it was a hit
WAITED: Final = "headrace.cache.waited"  # whether another gateway process was computing the same
_REDIS: Final[Attributes] = {"db.system.name": "redis"}


def record_peek(span: Span, began: float) -> None:
    """An answer that was in memory."""
    span.begin("cache", began, {CACHE: "hit", STORE: "memory"}).end(monotonic())


def record_lookup(span: Span, began: float, lookup: Lookup, error: str | None = None) -> None:
    """A lookup, without what it computed; or the whole wait for a computation that it joined, linked to whose that was.

    `error` is what it failed with; the failure of its own computation isn't the cache's.
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
