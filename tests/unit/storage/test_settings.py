"""The environment names the database and the artifacts."""

import pytest

from storage.settings import StorageSettings


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("HEADRACE_ARTIFACTS_URL", "s3://bucket")
    settings = StorageSettings()
    assert (settings.database_url, settings.artifacts_url) == ("postgresql://h/d", "s3://bucket")


def test_without_an_environment_everything_is_under_one_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_DATABASE_URL", raising=False)
    monkeypatch.delenv("HEADRACE_ARTIFACTS_URL", raising=False)
    settings = StorageSettings()
    assert settings.database_url == "sqlite+aiosqlite:///.headrace/registry.db"
    assert settings.artifacts_url == ".headrace/artifacts"
