"""A process that hangs up and is in no hurry to die: `python -m tests.unit.model_service.dying SOCKET SIGNAL AFTER`."""

import os
import socket
import sys
import time


def main() -> None:
    connection, number, after_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    socket.socket(fileno=connection).close()
    time.sleep(after_s)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
