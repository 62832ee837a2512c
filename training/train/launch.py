"""Starts the processes of a distributed training with torchrun, and waits for them."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from training.recipe.train import Distributed
from training.stage import Work
from training.train.fit import RESULT, TrainingFailed
from training.train.worker import FAILED, SAID, SPEC, describe

OUTPUT: Final = "torchrun.log"  # what the processes print, with their traces and torchrun's own account of them
_STATUS: Final = re.compile(r"exitcode\s*:\s*(-?[0-9]+)")


def launch(work: Work) -> None:
    """Train over the recipe's processes. Raises TrainingFailed with what the first of them to fail has said."""
    block = work.recipe.distributed
    assert block is not None
    spec = work.folder / SPEC
    spec.write_text(describe(work))
    for rank in range(1, block.nodes):
        work.say(f"start on node {rank}, with the same folders: {command_for(block, spec, rank)}")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.train.tied", str(os.getpid()), *command(block, spec, 0)[3:]],
        env={**os.environ, "OMP_NUM_THREADS": str(block.threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    output, failed = work.folder / OUTPUT, ""
    with process.stdout as lines, output.open("w") as log:
        for line in lines:
            if line.startswith(SAID):
                work.say(line.removeprefix(SAID).rstrip())
                continue
            if line.startswith(FAILED):
                failed = failed or line.removeprefix(FAILED).strip().replace("\\n", "\n")  # others fail of the first
            log.write(line)
    if process.wait() != 0 or not (work.folder / RESULT).is_file():
        raise TrainingFailed(
            f"{failed or _explain_end(output.read_text(), process.returncode)}\nall that was said: {output}"
        )


def _explain_end(output: str, status: int) -> str:
    """How the processes ended where none of them could say why."""
    found = _STATUS.search(output)
    status = int(found[1]) if found else status
    if status >= 0:
        return f"a process ended with status {status}"
    killed = ", as where memory runs out" if status == -signal.SIGKILL else ""
    return f"a process was ended by {signal.Signals(-status).name}{killed}"


def command_for(block: Distributed, spec: Path, rank: int) -> str:
    """The command that a person types on the node of that rank."""
    # torchrun would set the threads to 1.
    return f"OMP_NUM_THREADS={block.threads} {shlex.join(command(block, spec, rank))}"


def command(block: Distributed, spec: Path, rank: int) -> list[str]:
    """What runs on the node of that rank."""
    one = ["--standalone"]
    many = [
        f"--nnodes={block.nodes}",
        f"--node-rank={rank}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={block.rendezvous}",
        "--rdzv-id=headrace",
    ]
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *(one if block.nodes == 1 else many),
        f"--nproc-per-node={block.processes}",
        "-m",
        "training.train.worker",
        str(spec),
    ]
