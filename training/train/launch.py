"""Starts the processes of a distributed training with torchrun, and waits for them."""

import os
import shlex
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Final

from training.stage import Work
from training.train.block import Distributed
from training.train.fit import RESULT, TrainingFailed
from training.train.worker import SAID, SPEC, describe

_TAIL: Final = 100  # lines of the output that an error shows: torchrun's own account of it is forty


def launch(work: Work) -> None:
    """Train over the recipe's processes. Raises TrainingFailed with what they last said where one of them fails."""
    block = work.recipe.distributed
    assert block is not None
    spec = work.folder / SPEC
    spec.write_text(describe(work))
    for rank in range(1, block.nodes):
        work.say(f"start on node {rank}, with the same folders: {typed(block, spec, rank)}")
    process = subprocess.Popen(
        [sys.executable, "-m", "training.train.tied", str(os.getpid()), *command(block, spec, 0)[3:]],
        env={**os.environ, "OMP_NUM_THREADS": str(block.threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL)
    with process.stdout as lines:
        for line in lines:
            if line.startswith(SAID):
                work.say(line.removeprefix(SAID).rstrip())
            else:
                tail.append(line)
    if process.wait() != 0 or not (work.folder / RESULT).is_file():
        raise TrainingFailed(f"torchrun ended with status {process.returncode}:\n{''.join(tail)}")


def typed(block: Distributed, spec: Path, rank: int) -> str:
    """What a person types on the node of that rank."""
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
