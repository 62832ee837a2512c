"""Programs that are started, die, and are stopped."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.errors import CommandError
from headrace.process import Process, Program

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(60)"
WITH_CHILD = "import subprocess, time; subprocess.Popen(['sleep', '60']); print('up'); time.sleep(60)"


def python(code: str, folder: Path) -> Process:
    return Process(Program("program", (sys.executable, "-c", code), folder / "log"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def says(folder: Path, text: str) -> Callable[[], bool]:
    return lambda: text in (folder / "log").read_text()


def group_is_empty(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_program_that_dies_is_started_again_and_it_is_said(tmp_path: Path) -> None:
    process = python("import time; print('up'); time.sleep(60)", tmp_path)
    said: list[str] = []
    await process.start()
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


async def test_a_program_that_will_not_end_is_killed(tmp_path: Path) -> None:
    process = python(STUBBORN, tmp_path)
    await process.start()
    await until(says(tmp_path, "up"))
    await process.stop(0.1)
    assert await process.wait() == -signal.SIGKILL


async def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    process = python(WITH_CHILD, tmp_path)
    await process.start()
    await until(says(tmp_path, "up"))
    pid = process.pid
    assert pid is not None
    await process.stop(5)
    await until(lambda: group_is_empty(pid))


async def test_a_program_that_ends_while_starting_shows_its_last_words(tmp_path: Path) -> None:
    process = python("raise SystemExit('no such setting')", tmp_path)
    await process.start()
    with pytest.raises(CommandError, match="exit code 1 while starting") as ended:
        await process.must_not_end()
    assert "no such setting" in ended.value.hint


async def test_a_program_is_told_its_environment(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import os; print(os.environ['HEADRACE_TEST'])")
    process = Process(Program("program", command, tmp_path / "log", {"HEADRACE_TEST": "told"}))
    await process.start()
    assert await process.wait() == 0
    assert (tmp_path / "log").read_text() == "told\n"


async def test_a_program_dies_with_its_supervisor_even_if_that_is_killed(tmp_path: Path) -> None:
    supervisor = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from headrace.process import Process, Program\n"
        "async def main():\n"
        "    process = Process(Program('child', (sys.executable, '-c', sys.argv[2]), Path(sys.argv[1])))\n"
        "    await process.start()\n"
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
