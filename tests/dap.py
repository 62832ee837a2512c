"""As much of an editor as a debugger sees: a client of the Debug Adapter Protocol that debugpy's adapter speaks."""

import itertools
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LIMIT_S = 240  # under a debugger a process takes many times as long to start
CLIENT = {"adapterID": "debugpy", "pathFormat": "path", "linesStartAt1": True, "columnsStartAt1": True}


class Debugger:
    """Launches a program as an editor does, and follows all the processes of it: `breakpoints` are lines by file.

    `stops` has the file's name and the process's of each stop; whatever stopped goes on at once.
    """

    def __init__(self, adapter: subprocess.Popen[bytes], breakpoints: Mapping[Path, int]) -> None:
        assert adapter.stdin is not None
        assert adapter.stdout is not None
        self.stops: queue.Queue[tuple[str, str]] = queue.Queue()
        self.output: list[str] = []
        self._breakpoints = breakpoints
        self._first = _Session(self, "", adapter.stdout, adapter.stdin)

    def launch(self, configuration: Mapping[str, Any]) -> None:
        self._first.begin("launch", {**configuration, "console": "internalConsole", "redirectOutput": True})

    def until_stopped_in(self, file: str) -> str:
        """The name of the process that came to the breakpoint in that file."""
        while True:
            try:
                stopped, process = self.stops.get(timeout=LIMIT_S)
            except queue.Empty:
                raise AssertionError(f"nothing stopped in {file}:\n{''.join(self.output)}") from None
            if stopped == file:
                return process

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it; fail, with what was said, where it does not come."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, "".join(self.output)
            time.sleep(0.05)

    def end(self) -> None:
        """As an editor's button does it: the program is told to end, and with it all that it started."""
        self._first.send("disconnect", {"terminateDebuggee": True})
        self._first.hang_up()


class _Session:
    """The conversation about one process."""

    def __init__(self, debugger: Debugger, name: str, reads: IO[bytes], writes: IO[bytes]) -> None:
        self._debugger, self._name, self._reads, self._writes = debugger, name, reads, writes
        self._numbers = itertools.count(1)
        self._asked: dict[int, str] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._follow, daemon=True).start()

    def begin(self, how: str, arguments: Mapping[str, Any]) -> None:
        self.send("initialize", CLIENT)
        self.send(how, arguments)  # is answered once it is configured

    def send(self, command: str, arguments: Mapping[str, Any] | None = None) -> None:
        with self._lock:
            number = next(self._numbers)
            self._asked[number] = command
            body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments or {}})
            self._writes.write(f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            self._writes.flush()

    def hang_up(self) -> None:
        with self._lock:
            self._writes.close()

    def _follow(self) -> None:
        for message in _messages(self._reads):
            match message:
                case {"type": "event", "event": "initialized"}:
                    for file, line in self._debugger._breakpoints.items():
                        lines = [{"line": line}]
                        self.send("setBreakpoints", {"source": {"path": str(file)}, "breakpoints": lines})
                    self.send("configurationDone")
                case {"type": "event", "event": "debugpyAttach", "body": body}:
                    stream = socket.create_connection((body["connect"]["host"], body["connect"]["port"]))
                    reads, writes = stream.makefile("rb"), stream.makefile("wb")
                    stream.close()  # once these are
                    _Session(self._debugger, body["name"], reads, writes).begin("attach", body)
                case {"type": "event", "event": "stopped", "body": {"threadId": thread}}:
                    self.send("stackTrace", {"threadId": thread, "levels": 1})
                    self._thread = thread
                case {"type": "response", "command": "stackTrace", "body": {"stackFrames": [frame, *_]}}:
                    self._debugger.stops.put((Path(frame["source"]["path"]).name, self._name))
                    self.send("continue", {"threadId": self._thread})
                case {"type": "event", "event": "output", "body": {"output": text}}:
                    self._debugger.output.append(text)
                case {"type": "response", "success": False, "message": text}:
                    self._debugger.output.append(f"{message['command']}: {text}\n")
        self._reads.close()


def _messages(reads: IO[bytes]) -> Iterator[dict[str, Any]]:
    while head := reads.readline():
        length = int(head.partition(b":")[2])
        reads.readline()
        yield json.loads(reads.read(length))


@contextmanager
def debugging(configuration: Mapping[str, Any], breakpoints: Mapping[Path, int]) -> Iterator[Debugger]:
    """The program of a launch configuration, with a debugger attached; ended with the block."""
    command = [sys.executable, "-m", "debugpy.adapter"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as adapter:
        try:
            debugger = Debugger(adapter, breakpoints)
            debugger.launch(configuration)
            yield debugger
            debugger.end()
            adapter.wait(LIMIT_S)
        finally:
            adapter.kill()
