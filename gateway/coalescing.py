"""Request coalescing: requests that wait for the same version are sent to a worker as one.

For a small model the hop to the worker costs more than the model itself, so one hop for many requests saves the most.
While a worker is free, all that came in one turn of the event loop are sent at the end of that turn; while none is free
they wait, and are sent together when one becomes free. Where the model takes longer than the hop does, one more stands
ready at each worker, so that it need not wait for the hop. Where many ask and a worker takes less for each of them than
this process does, a second worker would make nothing faster: then the next group waits for the one before it, and is
larger.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final, Protocol

from gateway.backend import InferenceBackend
from gateway.merge import merge, merge_key, rows_of, split
from gateway.routing import Target
from service.tracing import MODEL, VERSION, ending
from wire.errors import CrashingInput, EngineFailed, InvalidInput, TooLarge
from wire.messages import InferRequest, InferResponse
from wire.spans import Span
from wire.tensors import size_of

# Of a coalesced request. Larger ones would gain nothing, as the hop is then a small part of the cost, and could exceed
# a worker's limit for one body.
_MAX_BYTES: Final = 1 << 20
# Where a worker answers sooner, its model is not what takes the time, and groups had better be larger.
_SLOW_S: Final = 0.004
# What a worker takes for a group, where it takes less for a request than this process does.
_QUICK_S: Final = 0.0015
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
    group: "_Group | None" = None
    waits: bool = True  # neither answered nor left


@dataclass(slots=True, eq=False)
class _Group:
    """Requests that were sent as one; `left` of them still wait for their answers."""

    task: asyncio.Task[float | None]
    left: int


@dataclass(slots=True, eq=False)
class _Usual:
    """What a version's groups were like lately."""

    members: float = 0.0
    took_s: float = 0.0
    worker_s: float = 1.0  # what a worker took; until one has said so, no reason to wait for it

    def add(self, members: int, took_s: float, worker_s: float | None) -> None:
        self.members += (members - self.members) * _WEIGHT
        self.took_s += (took_s - self.took_s) * _WEIGHT
        if worker_s is not None:
            self.worker_s += (worker_s - self.worker_s) * _WEIGHT


@dataclass(slots=True, eq=False)
class _Lane:
    """Requests that can be sent together, as their tensors match: how many are under way, and which wait."""

    usual: _Usual
    under_way: int = 0
    sent: float = 0.0  # when the last group was, in monotonic seconds
    scheduled: bool = False  # whether what waits is sent at the end of this turn
    waiting: list[Member] = field(default_factory=list)


class Coalescer:
    """Sends requests for models of plain tensors together, and all others on as they are.

    Texts are not coalesced: the worker's batcher sorts them by length. Where a coalesced request fails, each of its
    members is sent again by itself, so that one bad request fails no other.
    """

    def __init__(self, workers: InferenceBackend, slow_s: float = _SLOW_S) -> None:
        self._slow_s = slow_s
        self.coalesced = 0  # requests that shared a worker's request with others
        self._workers = workers
        self._lanes: dict[Hashable, _Lane] = {}
        self._usual: defaultdict[str, _Usual] = defaultdict(_Usual)  # by digest

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        """As `InferenceBackend.infer`."""
        answer: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        if (member := self.join(target, request, answer)) is None:
            return await self._workers.infer(target, request)
        try:
            return await answer
        except asyncio.CancelledError:
            self.leave(member)
            raise

    def join(self, target: Target, request: InferRequest, answer: Waiter) -> Member | None:
        """Have `answer` get the response, or the error, together with others'; None where the request is for itself.

        Whoever waits no longer must `leave`.
        """
        if (
            not target.coalesces
            or request.parameters
            or request.suspect
            or not 0 < (rows := rows_of(request)) < target.max_rows
        ):
            return None
        key = merge_key(target, request)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._usual[target.digest])
        member = Member(target, request, rows, answer, monotonic())
        lane.waiting.append(member)
        self._schedule(key, lane, target, member.arrived)
        return member

    def leave(self, member: Member) -> None:
        """Nobody waits for this one any more: what is asked for nobody is cancelled."""
        if (group := member.group) is not None and member.waits:
            member.waits = False
            group.left -= 1
            if group.left == 0:
                group.task.cancel()

    def _schedule(self, key: Hashable, lane: _Lane, target: Target, now: float) -> None:
        if not lane.scheduled and (not lane.under_way or lane.under_way < self._places(lane, target, now)):
            lane.scheduled = True
            asyncio.get_running_loop().call_soon(self._send_waiting, key, lane)

    def _places(self, lane: _Lane, target: Target, now: float) -> int:
        """How many groups may be under way."""
        usual = lane.usual
        if usual.took_s > self._slow_s:
            return target.capacity(ahead=1)
        if (
            usual.members >= _MANY
            and usual.worker_s < _QUICK_S
            and len(lane.waiting) < target.max_rows
            and now < lane.sent + self._slow_s  # what takes longer is no reason to wait: its worker may hang
        ):
            return 1
        return target.capacity()

    def _send_waiting(self, key: Hashable, lane: _Lane) -> None:
        """Send what waits together; forget the lane where nothing waits and nothing is under way."""
        lane.scheduled = False
        if members := _take_group(lane):
            lane.under_way += 1
            lane.sent = monotonic()
            task = asyncio.create_task(self._answer(members))
            # Not in the task itself: one that is cancelled before it began runs none of its code.
            task.add_done_callback(partial(self._finish, key, lane, len(members), lane.sent))
            group = _Group(task, len(members))
            for member in members:
                member.group = group
            if lane.waiting:
                self._schedule(key, lane, lane.waiting[0].target, lane.sent)
        elif lane.under_way == 0 and self._lanes.get(key) is lane:
            del self._lanes[key]

    def _finish(self, key: Hashable, lane: _Lane, members: int, began: float, task: asyncio.Task[float | None]) -> None:
        """One request to a worker is over, so that the next one may be sent."""
        lane.under_way -= 1
        lane.usual.add(members, monotonic() - began, None if task.cancelled() else task.result())
        self._send_waiting(key, lane)

    async def _answer(self, members: Sequence[Member]) -> float | None:
        """Tell each its answer; what the worker took, where it has said so."""
        if len(members) == 1:
            _record_wait(members)
            return await self._answer_alone(members[0])
        self.coalesced += len(members)
        try:
            response = await self._ask_together(members)
            answers = list(split(response, [member.rows for member in members]))
        except (InvalidInput, EngineFailed, TooLarge):
            await asyncio.gather(*map(self._answer_alone, members))
        except CrashingInput:
            # One of them kills the engine. Alone, as a suspect, each is run where that harms no other.
            for member in members:
                member.request.suspect = True
            await asyncio.gather(*map(self._answer_alone, members))
        except Exception as error:
            for member in members:
                _tell(member, error)
        else:
            for member, answer in zip(members, answers, strict=True):
                _tell(member, answer)
            return response.took_s
        return None

    async def _ask_together(self, members: Sequence[Member]) -> InferResponse:
        target = members[-1].target
        merged = merge([member.request for member in members], sum([member.rows for member in members]))
        if (group := _record_group(members)) is None:
            return await self._workers.infer(target, merged)
        merged.span = group
        with ending(group):
            return await self._workers.infer(target, merged)

    async def _answer_alone(self, member: Member) -> float | None:
        try:
            response = await self._workers.infer(member.target, member.request)
        except Exception as error:
            _tell(member, error)
            return None
        _tell(member, response)
        return response.took_s


def _tell(member: Member, outcome: InferResponse | Exception) -> None:
    if member.group is not None and member.waits:
        member.waits = False
        member.group.left -= 1
    if member.answer.done():
        return
    if isinstance(outcome, Exception):
        member.answer.set_exception(outcome)
    else:
        member.answer.set_result(outcome)


def _record_group(members: Sequence[Member]) -> Span | None:
    """Begin the span of their common request, linked to each member that is recorded; None where none is."""
    recorded = [member.request.span for member in members if member.request.span is not None]
    if not recorded:
        return None
    target = members[-1].target
    named = {MODEL: target.model, VERSION: target.version}
    group = recorded[0].begin_shared(
        "coalesced", monotonic(), recorded, {**named, "headrace.coalesced.requests": len(members)}
    )
    _record_wait(members, group)
    return group


def _record_wait(members: Sequence[Member], group: Span | None = None) -> None:
    for member in members:
        if member.request.span is not None:
            links = [] if group is None else [group]
            member.request.span.begin("coalesce", member.arrived, links=links).end(monotonic())


def _take_group(lane: _Lane) -> list[Member]:
    """Take the next requests to send together. Those whose client is gone or whose deadline has passed are dropped."""
    members: list[Member] = []
    rows = size = taken = 0
    for member in lane.waiting:
        if not member.answer.done():
            rows += member.rows
            size += size_of(member.request.inputs)
            if members and (rows > member.target.max_rows or size > _MAX_BYTES):
                break
            members.append(member)
        taken += 1
    del lane.waiting[:taken]
    return members
