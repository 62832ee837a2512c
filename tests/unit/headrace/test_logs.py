"""What programs print: it reaches its files whatever happens to whom, and those stay small."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.logs import Log, writer

LIMIT, KEPT = 1000, 3


@contextlib.contextmanager
def writing(*logs: Log) -> Iterator[subprocess.Popen[bytes]]:
    """A writer, which ends when the logs do."""
    fds = [log.unwritten.fileno() for log in logs]
    with subprocess.Popen(writer(logs, LIMIT, KEPT), pass_fds=fds) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def say(log: Log, text: str) -> None:
    os.write(log.fileno(), text.encode())


def content(path: Path) -> str:
    """What is in it: nothing while it makes room, which is between two names."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def written(path: Path) -> str:
    """All that is there, the oldest first."""
    parts = sorted(path.parent.glob(f"{path.name}.*"), reverse=True)
    return "".join(map(content, (*parts, path)))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "logs" / "program.log")
    yield log
    log.close()


def test_what_a_program_prints_is_in_its_file_also_its_last_words(log: Log) -> None:
    with writing(log) as process:
        code = "import sys; print('said'); sys.stderr.write('last words')"
        subprocess.run([sys.executable, "-c", code], stdout=log.fileno(), stderr=log.fileno(), check=True)
        log.close()
        assert process.wait(30) == 0
    assert log.path.read_text() == "said\nlast words" or log.path.read_text() == "last wordssaid\n"


def test_a_full_file_makes_room_and_no_line_is_lost_or_cut_by_it(log: Log) -> None:
    lines = [f"{number:03d} {'x' * 46}\n" for number in range(60)]
    with writing(log):
        for line in lines:
            say(log, line)
        until(lambda: content(log.path).endswith(lines[-1]))
    assert written(log.path) == "".join(lines)
    assert all(part.stat().st_size <= LIMIT for part in log.path.parent.iterdir())


def test_the_oldest_file_goes(log: Log) -> None:
    with writing(log):
        for number in range(200):
            say(log, f"{number:03d} {'x' * 46}\n")
        until(lambda: "199 " in content(log.path))
    assert len(list(log.path.parent.iterdir())) == KEPT + 1


def test_a_line_longer_than_a_file_is_written_whole(log: Log) -> None:
    with writing(log):
        say(log, "first\n" + "x" * 3 * LIMIT + "\nlast\n")
        until(lambda: "last\n" in written(log.path))
    assert written(log.path) == "first\n" + "x" * 3 * LIMIT + "\nlast\n"


def test_a_writer_that_is_killed_loses_nothing(log: Log) -> None:
    with writing(log) as process:
        say(log, "before\n")
        until(lambda: content(log.path) == "before\n")
        process.send_signal(signal.SIGKILL)
        process.wait()
        say(log, "meanwhile\n")
    with writing(log):
        say(log, "after\n")
        until(lambda: "after" in content(log.path))
    assert log.path.read_text() == "before\nmeanwhile\nafter\n"


def test_what_cannot_be_written_holds_nobody_up_and_is_counted(log: Log) -> None:
    log.path.parent.write_text("a file where the folder should be")
    with writing(log):
        for _ in range(10_000):  # more than the socket holds
            say(log, f"lost {'x' * 60}\n")
        log.path.parent.unlink()
        said = 0

        def found() -> bool:
            nonlocal said
            said += 1
            say(log, "found\n")
            return "found" in content(log.path)

        until(found)
    first, *others = log.path.read_text().splitlines()
    lost = int(first.removeprefix("[").split()[0])
    assert "lines could not be written" in first
    assert 10_000 <= lost <= 10_000 + said
    assert lost + len(others) <= 10_000 + said


def test_a_folder_that_is_cleared_up_is_written_to_again(log: Log) -> None:
    with writing(log):
        say(log, "before\n")
        until(log.path.exists)
        shutil.rmtree(log.path.parent)
        say(log, "after\n")
        until(lambda: content(log.path) == "after\n")


async def test_the_last_lines_are_all_that_was_said_before(log: Log) -> None:
    with writing(log):
        say(log, "".join(f"{number}\n" for number in range(100)))
        assert await log.last_lines(2) == ["98", "99"]
