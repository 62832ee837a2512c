"""torchrun, tied to the process that started it: `python -m training.train.tied PARENT_PID ARGUMENT...`

A killed run that left its processes behind would go on writing into the folder, beside the run that resumes it.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def tie(parent: int) -> None:
    """Have this process get a SIGTERM when `parent`, which started it, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the call, which then has no effect
            sys.exit(1)


def main(parent: int, arguments: list[str]) -> None:
    """Run torchrun, which ends what it has started when it gets a SIGTERM."""
    from torch.distributed.run import main as torchrun

    tie(parent)
    torchrun(arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
