"""What every peer is to the benchmarks: a server in an environment of its own, and how to ask it."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.models import large_folder, minilm_folder, overhead_folder
from loadtests.payloads import Dialect, Workload
from loadtests.processes import free_port, process, wait_until_ready
from loadtests.target import Target

PEERS = Path(__file__).parent
SERVED = PEERS / "served"
_FOLDERS = {"overhead": overhead_folder, "minilm": minilm_folder, "large": large_folder}
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


@dataclass(frozen=True)
class Peer:
    """`command` may hold `{bin}` (of its environment), `{port}`, `{workload}` and `{scratch}` (an empty folder).

    Its processes see MODEL, MODEL_FOLDER, PORT and SCRATCH, and import `onnx_models`. `tuned` is the part of its
    environment that was chosen, for each workload it serves, as the fastest of the settings that were tried.
    """

    name: str
    distribution: str
    command: tuple[str, ...]
    ready: str
    infer: str
    dialects: Mapping[Workload, Dialect]
    tuned: Mapping[Workload, Mapping[str, str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    release: str = "{version}"  # how its version is told, where that of the distribution is another one's

    @property
    def folder(self) -> Path:
        """Where its server's files, its requirements and its environment are."""
        return PEERS / self.name

    @property
    def requirements(self) -> Path:
        """What was asked for; `constraints.txt` beside it has the version of everything that came with it."""
        return self.folder / "requirements.txt"

    @property
    def constraints(self) -> Path:
        return self.folder / "constraints.txt"

    @property
    def environment_folder(self) -> Path:
        return self.folder / ".venv"

    @property
    def stamp(self) -> Path:
        """A copy of the pins that the environment was made from."""
        return self.environment_folder / "pins.stamp"

    @property
    def pins(self) -> bytes:
        """Everything that decides what its environment holds."""
        return self.requirements.read_bytes() + self.constraints.read_bytes()

    @property
    def installed(self) -> bool:
        """Whether its environment has what its requirements say."""
        return self.stamp.is_file() and self.stamp.read_bytes() == self.pins

    @property
    def version(self) -> str:
        """The version of its server, as installed."""
        command = [str(self.environment_folder / "bin" / "python"), "-c", _VERSION, self.distribution]
        return self.release.format(version=subprocess.check_output(command, text=True).strip())

    @contextlib.contextmanager
    def running(self, workload: Workload) -> Iterator[Target]:
        """The peer, started and ready, until the block ends."""
        port = free_port()
        with tempfile.TemporaryDirectory() as scratch:
            words = {"bin": self.environment_folder / "bin", "port": port, "workload": workload, "scratch": scratch}
            environment = {
                "MODEL": workload,
                "MODEL_FOLDER": str(_FOLDERS[workload]()),
                "PORT": str(port),
                "SCRATCH": scratch,
                "HOME": scratch,  # what a peer keeps between runs would make them differ
                "PYTHONPATH": f"{SERVED}:{self.folder}",
                **{name: value.format(**words) for name, value in self.environment.items()},
                **self.tuned[workload],
            }
            command = [word.format(**words) for word in self.command]
            with process(command, environment, self.folder) as server:
                base = f"http://127.0.0.1:{port}"
                wait_until_ready(base + self.ready.format(**words), server)
                yield Target(self.name, base + self.infer.format(**words), self.dialects[workload])
