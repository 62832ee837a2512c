from pathlib import Path

import pytest
from pydantic import ValidationError

from cache.settings import CacheSettings
from gateway.settings import GatewaySettings
from storage.settings import StorageSettings


def test_an_upstream_that_leads_nowhere_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"upstream\n.*'http://envoy:port' leads nowhere: write http://host:port"):
        GatewaySettings(upstream="http://envoy:port")
    assert GatewaySettings(upstream="http://envoy:10000").upstream == "http://envoy:10000"


def test_what_is_secret_may_stand_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("headrace_admin_token", "headrace_database_url", "headrace_cache_redis_url"):
        monkeypatch.delenv(name.upper(), raising=False)
        (tmp_path / name).write_text(f"redis://{name}\n")
    assert GatewaySettings(_secrets_dir=tmp_path).admin_token == "redis://headrace_admin_token"
    assert StorageSettings(_secrets_dir=tmp_path).database_url == "redis://headrace_database_url"
    assert CacheSettings(_secrets_dir=tmp_path).redis_url == "redis://headrace_cache_redis_url"
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", "from the environment")
    assert GatewaySettings(_secrets_dir=tmp_path).admin_token == "from the environment"
