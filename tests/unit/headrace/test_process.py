"""Programs that are started, die, and are stopped."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.data_folder import DataFolder
from headrace.errors import CommandError
from headrace.local import warning
from headrace.logs import Log, writer
from headrace.plan import Options, plan
from headrace.process import ADMIN_TOKEN, Process, Program

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
WITH_CHILD = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('up'); time.sleep(60)"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Written to `tmp_path / "log"`."""
    log = Log(tmp_path / "log")
    with subprocess.Popen(writer([log]), pass_fds=[log.unwritten.fileno()]) as process:
        yield log
        process.kill()
    log.close()


def python(code: str, log: Log) -> Process:
    return Process(Program("program", (sys.executable, "-c", code), log))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def says(folder: Path, text: str) -> Callable[[], bool]:
    return lambda: (folder / "log").exists() and text in (folder / "log").read_text()


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """As when the system has no process or no memory left: nothing can be started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def group_is_empty(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_program_that_dies_is_started_again_and_it_is_said(log: Log, tmp_path: Path) -> None:
    process = python("import time; print('up'); time.sleep(60)", log)
    said: list[str] = []
    process.start()
    keeping = asyncio.create_task(process.keep_running(said.append))
    await until(says(tmp_path, "up\n"))
    first = process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(says(tmp_path, "up\nup\n"))
    assert process.pid != first
    assert "program was killed by SIGKILL" in said[0]
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    await process.stop(5)


async def test_a_program_that_will_not_end_is_killed(log: Log, tmp_path: Path) -> None:
    process = python(STUBBORN, log)
    process.start()
    await until(says(tmp_path, "up"))
    await process.stop(0.1)
    assert await process.wait() == -signal.SIGKILL


async def test_what_a_program_started_ends_with_it(log: Log, tmp_path: Path) -> None:
    process = python(WITH_CHILD, log)
    process.start()
    await until(says(tmp_path, "up"))
    pid = process.pid
    assert pid is not None
    await process.stop(5)
    await until(lambda: group_is_empty(pid))


async def test_a_program_that_ends_while_starting_shows_its_last_words(log: Log, tmp_path: Path) -> None:
    process = python("raise SystemExit('no such setting')", log)
    process.start()
    with pytest.raises(CommandError, match="exit code 1 while starting") as ended:
        await process.must_not_end()
    assert "no such setting" in ended.value.hint


async def test_a_program_is_told_its_environment(log: Log, tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import os; print(os.environ['HEADRACE_TEST'])")
    process = Process(Program("program", command, log, {"HEADRACE_TEST": "told"}))
    process.start()
    assert await process.wait() == 0
    await until(says(tmp_path, "told\n"))


async def test_a_program_dies_with_its_supervisor_even_if_that_is_killed(tmp_path: Path) -> None:
    supervisor = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from headrace.logs import Log, writer\n"
        "from headrace.process import Process, Program\n"
        "async def main():\n"
        "    log = Log(Path(sys.argv[1]))\n"
        "    Process(Program('logs', writer([log]), None, inherits=[log.unwritten.fileno()], tied=False)).start()\n"
        "    process = Process(Program('child', (sys.executable, '-c', sys.argv[2]), log))\n"
        "    process.start()\n"
        "    print(process.pid, flush=True)\n"
        "    await process.wait()\n"
        "asyncio.run(main())"
    )
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", supervisor, str(tmp_path / "log"), STUBBORN, stdout=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    child = int(await running.stdout.readline())
    await until(says(tmp_path, "up"))
    running.kill()
    await running.wait()
    await until(lambda: group_is_empty(child))


async def test_a_start_that_fails_is_one_more_death(log: Log, tmp_path: Path) -> None:
    process = python("import time; print('up'); time.sleep(60)", log)
    process.start()
    await until(says(tmp_path, "up\n"))
    said: list[str] = []
    with no_descriptor_left():
        keeping = asyncio.create_task(process.keep_running(said.append))
        process.kill()
        await until(lambda: any("could not be started" in line for line in said))
    await until(says(tmp_path, "up\nup\n"))
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    await process.stop(5)
    assert "at once" in said[0]
    assert "in 0.5 s" in said[1]


@pytest.mark.parametrize("token", [None, "a secret"])
def test_of_the_platform_only_gateways_know_the_admin_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    monkeypatch.delenv(ADMIN_TOKEN, raising=False)
    if token is not None:
        monkeypatch.setenv(ADMIN_TOKEN, token)
    options = Options("127.0.0.1", 8000, 2, 2, tmp_path, demo=False, load_balancer="gateway", as_json=False)
    with socket.socket() as listening:
        platform = plan(options, DataFolder(tmp_path), tmp_path, listening)
    for process in platform.processes:
        if process.program.log is not None:
            process.program.log.close()
        assert process.program.env.get(ADMIN_TOKEN) == (token if process in platform.gateways else None)


async def test_no_program_is_told_the_admin_token_by_the_way(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADMIN_TOKEN, "a secret")
    process = python(f"import os; print('told', os.environ.get('{ADMIN_TOKEN}'), flush=True)", log)
    process.start()
    await process.wait()
    await until(says(tmp_path, "told None"))


@pytest.mark.parametrize(("guarded", "says"), [(True, "HEADRACE_ADMIN_TOKEN, which travels"), (False, "is closed")])
def test_what_is_open_to_others_is_said(guarded: bool, says: str) -> None:
    warned = warning("0.0.0.0", guarded)
    assert "0.0.0.0" in warned
    assert "every model" in warned
    assert "metrics" in warned
    assert says in warned
