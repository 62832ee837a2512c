"""Becomes the program named by its arguments, tied to its parent: `tether.py PARENT_PID PROGRAM ARGUMENT...`

Run as a script, before the program. The kernel kills the program when the supervisor is gone, however it went: a
SIGKILLed supervisor cleans nothing up. A wrapper and not `preexec_fn`, which is unsafe once the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept across exec


def tie_to_parent(parent: int) -> None:
    """Have this process killed when `parent` ends. Does nothing where the system has no such call (macOS)."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the call, which then has no effect
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    tie_to_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
