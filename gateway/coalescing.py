"""Request coalescing: requests that wait for the same version are sent to a worker as one.

For a small model the hop to the worker costs more than the model itself, so one hop for many requests saves the most.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import partial
from time import monotonic

from gateway.backend import InferenceBackend
from gateway.lanes import SLOW_S, Group, Lane, Member, Usual, Waiter
from gateway.merge import merge, merge_key, rows_of, split
from gateway.routing import Target
from service.tracing import MODEL, VERSION, ending
from wire.errors import ONE_AT_FAULT, CrashingInput
from wire.messages import InferRequest, InferResponse
from wire.spans import Span


class Coalescer:
    """Sends requests for models of plain tensors together, and all others on as they are.

    Texts travel alone: the worker's batcher sorts them by length. Where a coalesced request fails, each of its
    members is sent again by itself, so that one bad request fails no other.
    """

    def __init__(self, workers: InferenceBackend, slow_s: float = SLOW_S) -> None:
        self._slow_s = slow_s
        self.coalesced = 0  # requests that shared a worker's request with others
        self._workers = workers
        self._lanes: dict[Hashable, Lane] = {}
        self._usual: defaultdict[str, Usual] = defaultdict(Usual)  # by digest

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        """As `InferenceBackend.infer`."""
        if not _may_share(target, request, rows_of(request)):
            return await self._workers.infer(target, request)
        answer: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        member = self.join(target, request, answer)
        try:
            return await answer
        except asyncio.CancelledError:
            member.leave()
            raise

    def join(self, target: Target, request: InferRequest, answer: Waiter) -> Member:
        """Have `answer` get the response, or the error, together with others' where the request may share theirs.

        Whoever waits no longer must have the member `leave`.
        """
        member = Member(target, request, rows := rows_of(request), answer, monotonic())
        if not _may_share(target, request, rows):
            member.group = Group(1, 1, member.arrived)
            member.group.task = asyncio.create_task(self._answer([member]))
            return member
        key = merge_key(target, request)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key, self._usual[target.digest], self._slow_s)
        lane.waiting.append(member)
        self._schedule(lane, target)
        return member

    def _schedule(self, lane: Lane, target: Target) -> None:
        if not lane.scheduled and lane.has_place(target):
            lane.scheduled = True
            asyncio.get_running_loop().call_soon(self._send_waiting, lane)

    def _send_waiting(self, lane: Lane) -> None:
        """Send what waits together; forget the lane where nothing waits and nothing is under way."""
        lane.scheduled = False
        if members := lane.send():
            group = members[0].group
            assert group is not None
            group.task = asyncio.create_task(self._answer(members))
            # Not in the task itself: one that is cancelled before it began runs none of its code. And in the turn after
            # it the clients that it has answered have asked again, which makes the next group larger.
            group.task.add_done_callback(partial(self._note_back, lane, group))
            if lane.waiting:
                self._schedule(lane, lane.waiting[0].target)
        elif lane.under_way == 0 and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _note_back(self, lane: Lane, group: Group, task: asyncio.Task[float | None]) -> None:
        """A request to a worker is over, so that the next one may be sent."""
        lane.note_back(group, None if task.cancelled() else task.result())
        self._send_waiting(lane)

    async def _answer(self, members: Sequence[Member]) -> float | None:
        """Tell each its answer; what the worker took, where it has said so."""
        try:
            response = await self._ask_together(members)
            answers = [response] if len(members) == 1 else list(split(response, [member.rows for member in members]))
        except ONE_AT_FAULT as error:
            if isinstance(error, CrashingInput):
                # One of them kills the engine. Alone, as a suspect, each is run where that harms no other.
                for member in members:
                    member.request.suspect = True
            await self._ask_each(members, error)
        except Exception as error:
            for member in members:
                member.tell(error)
        else:
            for member, answer in zip(members, answers, strict=True):
                member.tell(answer)
            return response.took_s
        return None

    async def _ask_together(self, members: Sequence[Member]) -> InferResponse:
        target = members[-1].target
        if len(members) == 1:
            _record_wait(members)
            return await self._workers.infer(target, members[0].request)
        self.coalesced += len(members)
        merged = merge([member.request for member in members], sum([member.rows for member in members]))
        if (span := _record_group(members)) is None:
            return await self._workers.infer(target, merged)
        merged.span = span
        with ending(span):
            return await self._workers.infer(target, merged)

    async def _ask_each(self, members: Sequence[Member], error: Exception) -> None:
        """Ask for each alone what has failed for all of them together."""
        if len(members) == 1:
            members[0].tell(error)
        else:
            await asyncio.gather(*map(self._ask_alone, members))

    async def _ask_alone(self, member: Member) -> None:
        try:
            member.tell(await self._workers.infer(member.target, member.request))
        except Exception as error:
            member.tell(error)


def _may_share(target: Target, request: InferRequest, rows: int) -> bool:
    """Whether others' rows may travel with those of `request`."""
    return target.coalesces and not request.parameters and not request.suspect and 0 < rows < target.max_rows


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
