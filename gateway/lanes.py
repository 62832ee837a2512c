"""Requests that may travel together, and when the next group of them leaves.

While a worker is free, all that came in one turn of the event loop leave at the end of that turn; while none is free
they wait, and leave together when one becomes free. Where the model takes longer than the hop does, one more group
stands ready at each worker, so that it need not wait for the hop. Where many ask and a worker takes less for each of
them than this process does, a second worker would make nothing faster: then the next group waits for the one before it,
and is larger.
"""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

from gateway.pace import QUICK_S
from gateway.routing import Target
from wire.messages import InferRequest, InferResponse
from wire.tensors import size_of

# Of a coalesced request. Larger ones would gain nothing, as the hop is then a small part of the cost, and could exceed
# a worker's limit for one body.
_MAX_BYTES: Final = 1 << 20
# Where a worker answers sooner, its model is not what takes the time, and groups had better be larger.
SLOW_S: Final = 0.004
_MANY: Final = 4.0  # requests, which a group has where many ask
_WEIGHT: Final = 0.1  # of the last answer, in what is said of all


class Waiter(Protocol):
    """What gets a response or an error: a future, or an object that has a future's methods (`DirectRequest`)."""

    def done(self) -> bool: ...

    def set_result(self, response: InferResponse, /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


@dataclass(slots=True, eq=False)
class Member:
    """A request that shares a worker's request, and the group that it was sent with once it has been.

    `arrived` is monotonic seconds.
    """

    target: Target
    request: InferRequest
    rows: int
    answer: Waiter
    arrived: float
    group: "Group | None" = None
    waits: bool = True  # neither answered nor left

    def leave(self) -> None:
        """Nobody waits for this one any more: what is asked for nobody is cancelled."""
        if (group := self.group) is not None and self.waits:
            self.waits = False
            group.left -= 1
            if group.left == 0 and group.task is not None:
                group.task.cancel()

    def tell(self, outcome: InferResponse | Exception) -> None:
        """Give it its answer, if it still waits for one."""
        if self.group is not None and self.waits:
            self.waits = False
            self.group.left -= 1
        if self.answer.done():
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


@dataclass(slots=True, eq=False)
class Group:
    """`size` requests that were sent as one at `sent` (monotonic seconds), of which `left` still wait for an answer."""

    size: int
    left: int
    sent: float
    task: asyncio.Task[float | None] | None = None


@dataclass(slots=True, eq=False)
class Usual:
    """What a version's groups were like lately."""

    size: float = 0.0
    took_s: float = 0.0
    worker_s: float = 1.0  # what a worker took; until one has said so, no reason to wait for it

    def add(self, size: int, took_s: float, worker_s: float | None) -> None:
        self.size += (size - self.size) * _WEIGHT
        self.took_s += (took_s - self.took_s) * _WEIGHT
        if worker_s is not None:
            self.worker_s += (worker_s - self.worker_s) * _WEIGHT


@dataclass(slots=True, eq=False)
class Lane:
    """Requests that can be sent together, as their tensors match: how many groups are under way, and which wait."""

    key: Hashable
    usual: Usual
    slow_s: float
    under_way: int = 0
    sent: float = 0.0  # when the last group was, in monotonic seconds
    scheduled: bool = False  # whether what waits is sent at the end of this turn
    waiting: list[Member] = field(default_factory=list)

    def has_place(self, target: Target) -> bool:
        """Whether one more group may be sent."""
        return not self.under_way or self.under_way < self._places(target)

    def send(self) -> list[Member]:
        """Take the next group. Those whose client is gone or whose deadline has passed are dropped."""
        members: list[Member] = []
        rows = size = taken = 0
        for member in self.waiting:
            if not member.answer.done():
                rows += member.rows
                size += size_of(member.request.inputs)
                if members and (rows > member.target.max_rows or size > _MAX_BYTES):
                    break
                members.append(member)
            taken += 1
        del self.waiting[:taken]
        if members:
            self.under_way += 1
            self.sent = monotonic()
            group = Group(len(members), len(members), self.sent)
            for member in members:
                member.group = group
        return members

    def note_back(self, group: Group, worker_s: float | None) -> None:
        """A group's answer has come; the worker may have said what it took."""
        self.under_way -= 1
        self.usual.add(group.size, monotonic() - group.sent, worker_s)

    def _places(self, target: Target) -> int:
        """How many groups may be under way."""
        usual = self.usual
        if usual.took_s > self.slow_s:
            return target.capacity(ahead=1)
        if (
            usual.size >= _MANY
            and usual.worker_s < QUICK_S
            and len(self.waiting) < target.max_rows
            # What takes longer is no reason to wait: its worker may hang.
            and monotonic() < self.sent + self.slow_s
        ):
            return 1
        return target.capacity()
