"""The cache's settings, read once from the environment, and the cache that they describe."""

import logging
import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cache.breaker import Breaker
from cache.frame import Seal
from cache.memory_store import MemoryStore
from cache.redis_store import RedisStore
from cache.response_cache import ResponseCache
from cache.stats import CacheStats
from cache.store import Store

log = logging.getLogger(__name__)


class CacheSettings(BaseSettings):
    """Response cache (gateway)."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_CACHE_")

    redis_url: str | None = Field(
        default=None,
        # It may hold a password.
        repr=False,
        description="Redis or Valkey that the gateways share: `redis://`, `rediss://` or `unix://`. "
        "Unset, every gateway process caches in its own memory only.",
    )
    secret: str | None = Field(
        default=None,
        min_length=16,
        repr=False,
        description="What the gateways that share a Redis sign cached answers with, so that nobody else can write one: "
        "16 characters or more, the same for all of them. Unset, every process makes up its own and shares with no "
        "other.",
    )
    memory_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="Memory for cached answers in each gateway process, overhead included. "
        "What one holds there, others find in Redis alone, also those that share its port. "
        "Beside it a gateway keeps up to 8 MiB of requests that came again, with their answers as they were sent.",
    )
    max_value_bytes: int = Field(default=1024 * 1024, ge=0, description="Answers larger than this are not cached.")
    redis_timeout_ms: int = Field(
        default=50,
        gt=0,
        description="Longest that an operation of Redis may take, connecting included; then the request goes on "
        "without it.",
    )
    lease_ms: int = Field(
        default=2000,
        gt=0,
        description="Longest that a gateway process waits for another one to compute the same answer. Should be "
        "above the slowest model's time.",
    )
    max_writes: int = Field(
        default=64, gt=0, description="Writes to Redis under way at once in each gateway process; more are dropped."
    )
    breaker_failures: int = Field(
        default=5, gt=0, description="Failed operations in a row after which Redis is left alone for a while."
    )
    breaker_open_ms: int = Field(
        default=1000, gt=0, description="How long it is left alone before an operation tries it again."
    )


def open_cache(settings: CacheSettings) -> ResponseCache:
    """The cache that `settings` describe. Connects to nothing yet; ValueError where `redis_url` is not one of Redis."""
    stats = CacheStats()
    return ResponseCache(
        MemoryStore(settings.memory_bytes, stats),
        _open_shared(settings, stats),
        stats,
        max_value_bytes=settings.max_value_bytes,
        lease_s=settings.lease_ms / 1000,
        max_writes=settings.max_writes,
    )


def _open_shared(settings: CacheSettings, stats: CacheStats) -> Store | None:
    """What the gateway processes share; None where each has its own memory only."""
    if not settings.redis_url:
        return None
    if settings.secret is None:
        log.warning("HEADRACE_CACHE_SECRET is not set: no other process can read what this one keeps in Redis")
    secret = os.urandom(32) if settings.secret is None else settings.secret.encode()
    return RedisStore(
        settings.redis_url,
        seal=Seal(secret),
        timeout_s=settings.redis_timeout_ms / 1000,
        lease_s=settings.lease_ms / 1000,
        breaker=Breaker(settings.breaker_failures, settings.breaker_open_ms / 1000),
        stats=stats,
    )
