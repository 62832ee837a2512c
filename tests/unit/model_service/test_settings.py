import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from model_service.settings import WorkerSettings


def test_the_environment_sets_what_the_documentation_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "0", "URL": "http://here:1", "CACHE_DIR": "/tmp/x", "THREADS": "3"}.items():
        monkeypatch.setenv(f"HEADRACE_WORKER_{name}", value)
    settings = WorkerSettings()
    assert (settings.port, settings.url, settings.cache_dir) == (0, "http://here:1", Path("/tmp/x"))
    assert settings.threads_or_cores() == 3


def test_unless_told_a_model_computes_on_the_cores_that_the_process_may_use() -> None:
    assert WorkerSettings(threads=0).threads_or_cores() == len(os.sched_getaffinity(0))


def test_a_url_under_which_no_gateway_could_reach_the_worker_is_refused_with_what_to_write() -> None:
    with pytest.raises(ValidationError, match=r"url\n.*'http://host:notaport' leads nowhere: write http://host:port"):
        WorkerSettings(url="http://host:notaport")


@pytest.mark.parametrize("wrong", [{"port": 70000}, {"poll_s": 0}, {"threads": -1}, {"max_body_bytes": 0}])
def test_a_value_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        WorkerSettings.model_validate(wrong)
