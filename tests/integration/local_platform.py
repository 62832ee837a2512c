"""`headrace up` as a shell runs it, and what is left of it in the machine's process table."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

MARK = "HEADRACE_TEST_RUN"  # inherited by whatever the supervisor starts, and by what that starts
START_LIMIT_S = 90
ROOT = Path(__file__).parents[2]


class Up:
    """A `headrace up` that was started: over which folder, on which port, and what it has printed."""

    def __init__(self, data: Path, port: int, *arguments: str, **env: str) -> None:
        self.data = data
        self._port = port
        self.mark = uuid4().hex
        self._children: set[int] = set()
        self._output = data.with_suffix(".out")
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "up", "--data", str(data), "--port", str(port), *arguments],
                cwd=ROOT,
                env={**environment(), MARK: self.mark, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        """Where it answers; a free port was chosen by itself where 0 was asked for."""
        if self._port == 0:
            (told,) = re.findall(r"headrace answers at http://127\.0\.0\.1:(\d+)", self.output)
            self._port = int(told)
        return f"http://127.0.0.1:{self._port}"

    @property
    def output(self) -> str:
        return self._output.read_text()

    def until_answering(self) -> None:
        self.until(lambda: "headrace answers at" in self.output)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it; fail, with what was printed, where the supervisor ends before."""
        deadline = time.monotonic() + START_LIMIT_S
        while not condition():
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"nothing happened in time:\n{self.output}"
            time.sleep(0.02)

    def left(self) -> dict[int, str]:
        """The processes that run now and began with this `up`: command lines by process id."""
        running = dict(processes())
        # Valkey writes its title over its environment, so what was once a child of the supervisor counts as well.
        self._children |= {pid for pid in running if parent(pid) == self.process.pid}
        return {pid: command for pid, command in running.items() if pid in self._children or is_marked(pid, self.mark)}

    def interrupt(self) -> int:
        """Ctrl-C, as a terminal does it: SIGINT to the whole foreground process group. The exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(60)

    def kill(self) -> None:
        """End it the hard way, and wait until all that it started has ended too."""
        self.left()
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + 30
        while self.left():
            assert time.monotonic() < deadline, f"still running: {self.left()}"
            time.sleep(0.02)


@contextmanager
def running(data: Path, port: int, *arguments: str, **env: str) -> Iterator[Up]:
    """A platform that answers; stopped afterwards."""
    up = Up(data, port, *arguments, **env)
    try:
        up.until_answering()
        yield up
        if up.process.poll() is None:
            up.interrupt()
    finally:
        up.kill()


def headrace(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=ROOT,
        env={**environment(), **env},
        capture_output=True,
        text=True,
        timeout=100,
    )


def environment() -> dict[str, str]:
    """This process's own, without what would configure headrace."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def processes() -> Iterator[tuple[int, str]]:
    """Every process of this machine that is no zombie, with its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if command:
                yield int(entry.name), command


def parent(pid: int) -> int | None:
    try:
        # After the name in brackets, which may hold anything: the state, then the parent.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def is_marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
