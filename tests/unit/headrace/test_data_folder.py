"""The folder of `headrace up`, and that only one at a time runs over it."""

from pathlib import Path

import pytest

from headrace.data_folder import LONGEST_SOCKET_PATH, DataFolder
from headrace.errors import CommandError

URL = "http://127.0.0.1:8000"


def test_a_second_up_is_refused_and_told_where_the_first_one_is(tmp_path: Path) -> None:
    with DataFolder(tmp_path).lock() as announce_at:
        announce_at(URL)
        with pytest.raises(CommandError, match=URL), DataFolder(tmp_path).lock():
            pass


def test_the_folder_says_who_runs_over_it_only_while_it_does(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.running_url() is None
    with folder.lock() as announce_at:
        announce_at(URL)
        assert DataFolder(tmp_path).running_url() == URL
    assert folder.running_url() is None


def test_the_next_one_may_have_it(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:8000", "http://127.0.0.1:9"):
        with DataFolder(tmp_path).lock() as announce_at:
            announce_at(url)
            assert DataFolder(tmp_path).running_url() == url


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="file/data") as refused, DataFolder(tmp_path / "file/data").lock():
        pass
    assert "--data" in refused.value.hint


def test_the_secret_of_the_cache_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.lock():
        secret = folder.cache_secret()
        (file,) = folder.secrets.iterdir()
        assert (file.name, file.read_text()) == ("headrace_cache_secret", secret)
        assert (file.stat().st_mode & 0o777, folder.secrets.stat().st_mode & 0o777) == (0o600, 0o700)
        assert DataFolder(tmp_path / "data").cache_secret() == secret
    other = DataFolder(tmp_path / "other")
    with other.lock():
        assert other.cache_secret() != secret
    assert len(secret) >= 32


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with folder.lock():
        folder.log("gateway").write_text("first")
        log = folder.log("gateway")
        assert not log.exists()
        assert log.with_suffix(".log.1").read_text() == "first"


def test_the_sockets_are_in_reach_however_deep_the_folder_is(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    with DataFolder(deep).sockets() as folder:
        assert len(str(folder / "gateway-255.sock")) <= LONGEST_SOCKET_PATH
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
