"""The folder of `headrace up`, and that only one at a time runs over it."""

from pathlib import Path

import pytest

from headrace.data_folder import LONGEST_SOCKET_PATH, DataFolder
from headrace.errors import CommandError

URL = "http://127.0.0.1:8000"


def test_a_second_up_is_refused_and_told_where_the_first_one_is(tmp_path: Path) -> None:
    with DataFolder(tmp_path).locked(URL), pytest.raises(CommandError, match=URL), DataFolder(tmp_path).locked("other"):
        pass


def test_the_folder_says_who_runs_over_it_only_while_it_does(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.running() is None
    with folder.locked(URL):
        assert DataFolder(tmp_path).running() == URL
    assert folder.running() is None


def test_the_next_one_may_have_it(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:8000", "http://127.0.0.1:9"):
        with DataFolder(tmp_path).locked(url):
            assert DataFolder(tmp_path).running() == url


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="file/data") as refused, DataFolder(tmp_path / "file/data").locked(URL):
        pass
    assert "--data" in refused.value.hint


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with folder.locked(URL):
        folder.log("gateway").write_text("first")
        log = folder.log("gateway")
        assert not log.exists()
        assert log.with_suffix(".log.1").read_text() == "first"


def test_the_socket_is_in_reach_however_deep_the_folder_is(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    with DataFolder(deep).socket() as path:
        assert len(str(path)) <= LONGEST_SOCKET_PATH
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()
