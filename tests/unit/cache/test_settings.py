import pytest

from cache.settings import CacheSettings, open_cache
from tests.unit.cache.test_response_cache import get_or_compute


async def answer() -> bytes:
    return b"value"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_REDIS_URL", "redis://example:6379/1")
    monkeypatch.setenv("HEADRACE_CACHE_MEMORY_BYTES", "1000")
    settings = CacheSettings()
    assert (settings.redis_url, settings.memory_bytes) == ("redis://example:6379/1", 1000)


def test_every_setting_is_described() -> None:
    assert [name for name, field in CacheSettings.model_fields.items() if not field.description] == []


def test_a_password_in_the_url_is_not_printed() -> None:
    assert "secret" not in repr(CacheSettings(redis_url="redis://:secret@localhost"))


def test_the_secret_is_not_printed_and_a_short_one_is_refused() -> None:
    assert "sixteen" not in repr(CacheSettings(secret="sixteen letters!"))
    with pytest.raises(ValueError, match="at least 16 characters"):
        CacheSettings(secret="fifteen letters")


async def test_a_process_without_the_secret_says_that_its_shared_cache_is_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    open_cache(CacheSettings(redis_url="redis://localhost", secret="sixteen letters!"))
    open_cache(CacheSettings())
    assert caplog.messages == []
    open_cache(CacheSettings(redis_url="redis://localhost"))
    assert "HEADRACE_CACHE_SECRET is not set" in caplog.text


async def test_without_redis_the_cache_is_memory_alone() -> None:
    cache = open_cache(CacheSettings(redis_url=None))
    assert await get_or_compute(cache, b"k", 60, answer) == (b"value", "miss")
    assert await get_or_compute(cache, b"k", 60, answer) == (b"value", "hit")
    await cache.close()
    assert cache.stats.memory_entries == 0


def test_a_url_that_is_not_one_of_redis_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="redis://"):
        open_cache(CacheSettings(redis_url="http://localhost:6379"))
