"""Answers by the bytes that asked for them: a request that comes again, and is cached, is not decoded again.

To decode a small request, make the cache's key of it and write the cached answer as its protocol has it takes most of
what a cached answer costs. None of that comes out otherwise for the same path and body, as long as they lead to the
same version and the cache holds the same value.
"""

from dataclasses import dataclass
from typing import Final

from cache.response_cache import ResponseCache
from gateway.api.question import Question
from gateway.pipeline import Answer, RouteTableSource
from gateway.routing import Target

# URL, body, and the one header by which the same body may be read otherwise.
Asked = tuple[bytes, bytes, bytes | None]
Rendered = tuple[bytes, bytes]  # whole header lines, and a body

LIMIT_BYTES: Final = 8 << 20  # of a gateway, beside the response cache
_OVERHEAD: Final = 1024  # of an entry's objects, roughly


@dataclass(slots=True, eq=False, frozen=True)
class RepeatedAnswer:
    """What a request led to, and its answer."""

    model: str
    version: str
    digest: str
    asked_version: str | None
    key: bytes
    value: bytes
    lines: bytes
    content: bytes

    def size(self, asked: Asked) -> int:
        return sum(map(len, (asked[0], asked[1], self.value, self.content))) + _OVERHEAD


class RepeatedAnswers:
    """The answers of requests that the cache has answered lately, `limit` bytes of them; the oldest give way."""

    def __init__(self, membership: RouteTableSource, cache: ResponseCache, limit: int = LIMIT_BYTES) -> None:
        self._membership = membership
        self._cache = cache
        self._limit = limit
        self._bytes = 0
        self._answers: dict[Asked, RepeatedAnswer] = {}

    def find(self, asked: Asked) -> RepeatedAnswer | None:
        """The answer, where nothing that it depends on has changed since."""
        if (found := self._answers.get(asked)) is None:
            return None
        route = self._membership.table.models.get(found.model)
        target = None if route is None else route.fixed(found.asked_version)
        if (
            target is None
            or target.version != found.version
            or target.digest != found.digest
            or target.refusals
            or not (target.replicas and target.cache_ttl_s and self._cache.still_has(found.key, found.value))
        ):
            return None
        return found

    def keep(
        self, asked: Asked, question: Question, target: Target, answer: Answer, rendered: tuple[bytes, bytes]
    ) -> None:
        """Keep what the cache has answered: header lines, and a body."""
        if answer.cached is None:
            return
        if (before := self._answers.pop(asked, None)) is not None:
            self._bytes -= before.size(asked)
        kept = RepeatedAnswer(target.model, target.version, target.digest, question.version, *answer.cached, *rendered)
        if kept.size(asked) > self._limit:
            return
        self._answers[asked] = kept
        self._bytes += kept.size(asked)
        while self._bytes > self._limit:
            oldest = next(iter(self._answers))
            self._bytes -= self._answers.pop(oldest).size(oldest)
