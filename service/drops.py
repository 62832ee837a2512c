"""Reads and drops what clients still send after they have been refused."""

import asyncio
from collections import deque
from typing import Final

from service.transport import BackpressureFlow

TURN_S: Final = 0.001  # from one connection's turn to the next one's


class Drops:
    """Connections whose bytes are dropped. They take turns, and each reads a little in its turn.

    Closing them with bytes unread would reset them, and their clients would not learn why. Reading as fast as the
    clients send would leave little time for others.
    """

    def __init__(self) -> None:
        self._waiting: deque[BackpressureFlow] = deque()

    def add(self, flow: BackpressureFlow) -> None:
        """Read nothing more of this one until its next turn."""
        if flow.dropping:
            return
        flow.dropping = True
        flow.pause_reading()
        if not self._waiting:
            asyncio.get_running_loop().call_later(TURN_S, self._turn)
        self._waiting.append(flow)

    def _turn(self) -> None:
        flow = self._waiting.popleft()
        flow.dropping = False
        if not flow.is_closing():
            flow.resume_reading()
        if self._waiting:
            asyncio.get_running_loop().call_later(TURN_S, self._turn)
