"""Gathers the requests that wait for the same version into one for a worker.

Where Python's cost of a request is more than the model's, paying for the hop once for many is what helps most. Nobody
waits for company: a request leaves at once while a worker is free, and those that come meanwhile leave together.
"""

import asyncio
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, Protocol

from gateway.routing import Target
from model_service.protocol.errors import EngineFailed, InvalidInput, TooLarge
from model_service.protocol.messages import InferRequest, InferResponse
from model_service.protocol.tensors import Tensor, join_bytes
from model_service.protocol.tracing import MODEL, VERSION, Span, ending

# Of requests together. Where there is more to compute, the cost of a request is no longer what counts; and a worker's
# limit is for the body of one.
_MAX_BYTES: Final = 1 << 20


class Workers(Protocol):
    """Who computes an answer. Raises ServingError."""

    async def infer(self, target: Target, request: InferRequest) -> InferResponse: ...


@dataclass(slots=True, eq=False)
class _Member:
    """A request that waits, and then the group that it left with. `arrived` is monotonic seconds."""

    target: Target
    request: InferRequest
    rows: int
    answer: asyncio.Future[InferResponse]
    arrived: float
    group: "_Group | None" = None


@dataclass(slots=True, eq=False)
class _Group:
    """Requests under way together; `left` of them still wait for their answers."""

    task: asyncio.Task[None]
    left: int


@dataclass(slots=True, eq=False)
class _Lane:
    """What goes to one version, of tensors that fit together: worker requests under way, and what waits for them."""

    under_way: int = 0
    waiting: list[_Member] = field(default_factory=list)


class Gatherer:
    """Stands before the workers, for models of plain tensors: texts of different lengths are better kept apart.

    What is wrong with one request is no other's fault: where a gathered request fails, each is asked again alone.
    """

    def __init__(self, workers: Workers) -> None:
        self.gathered = 0  # requests that shared a worker's request with others
        self._workers = workers
        self._lanes: dict[Hashable, _Lane] = {}

    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        """As `Workers.infer`."""
        if not target.gathers or request.parameters or not 0 < (rows := _rows(request)) < target.max_rows:
            return await self._workers.infer(target, request)
        key = _key(target, request)
        lane = self._lanes.setdefault(key, _Lane())
        if lane.under_way < target.slots:
            lane.under_way += 1
            try:
                return await self._workers.infer(target, request)
            finally:
                self._landed(key, lane)
        member = _Member(target, request, rows, asyncio.get_running_loop().create_future(), monotonic())
        lane.waiting.append(member)
        try:
            return await member.answer
        finally:
            if (group := member.group) is not None:
                group.left -= 1
                if group.left == 0:
                    group.task.cancel()  # the last client is gone, or the task is over anyway

    def _landed(self, key: Hashable, lane: _Lane) -> None:
        """A worker's request is over: those that wait leave together."""
        lane.under_way -= 1
        if members := _next(lane):
            lane.under_way += 1
            task = asyncio.create_task(self._answer(members))
            # Not in the task itself: one that is cancelled before it began runs none of its code.
            task.add_done_callback(lambda _: self._landed(key, lane))
            group = _Group(task, len(members))
            for member in members:
                member.group = group
        elif lane.under_way == 0:
            self._lanes.pop(key, None)

    async def _answer(self, members: Sequence[_Member]) -> None:
        if len(members) == 1:
            _record_wait(members)
            return await self._answer_alone(members[0])
        self.gathered += len(members)
        try:
            response = await self._ask_together(members)
            answers = list(_parts(response, [member.rows for member in members]))
        except (InvalidInput, EngineFailed, TooLarge):
            await asyncio.gather(*map(self._answer_alone, members))
        except Exception as error:
            for member in members:
                _settle(member, error)
        else:
            for member, answer in zip(members, answers, strict=True):
                _settle(member, answer)
        return None

    async def _ask_together(self, members: Sequence[_Member]) -> InferResponse:
        target, merged = members[-1].target, _merged(members)
        if (group := _record_group(members)) is None:
            return await self._workers.infer(target, merged)
        merged.span = group
        with ending(group):
            return await self._workers.infer(target, merged)

    async def _answer_alone(self, member: _Member) -> None:
        try:
            _settle(member, await self._workers.infer(member.target, member.request))
        except Exception as error:
            _settle(member, error)


def _settle(member: _Member, outcome: InferResponse | Exception) -> None:
    if member.answer.done():
        return
    if isinstance(outcome, Exception):
        member.answer.set_exception(outcome)
    else:
        member.answer.set_result(outcome)


def _record_group(members: Sequence[_Member]) -> Span | None:
    """The span of what they have asked a worker together, where any of them is recorded."""
    recorded = [member.request.span for member in members if member.request.span is not None]
    if not recorded:
        return None
    target = members[-1].target
    named = {MODEL: target.model, VERSION: target.version}
    group = recorded[0].shared("gathered", monotonic(), recorded, {**named, "headrace.gathered.requests": len(members)})
    _record_wait(members, group)
    return group


def _record_wait(members: Sequence[_Member], group: Span | None = None) -> None:
    for member in members:
        if member.request.span is not None:
            links = [] if group is None else [group]
            member.request.span.begin("gather", member.arrived, links=links).end(monotonic())


def _next(lane: _Lane) -> list[_Member]:
    """Take the next batch out of what waits; whose client is gone, or was told that it is too late, is dropped."""
    members: list[_Member] = []
    rows = size = taken = 0
    for member in lane.waiting:
        if not member.answer.done():
            rows += member.rows
            size += sum([len(tensor.data) for tensor in member.request.inputs])
            if members and (rows > member.target.max_rows or size > _MAX_BYTES):
                break
            members.append(member)
        taken += 1
    del lane.waiting[:taken]
    return members


def _rows(request: InferRequest) -> int:
    """The rows of a request whose tensors agree on them; 0 where a worker should say what is wrong."""
    sizes = {tensor.shape[0] if tensor.shape else 0 for tensor in request.inputs}
    return sizes.pop() if len(sizes) == 1 else 0


def _key(target: Target, request: InferRequest) -> Hashable:
    """What requests must have in common to become one."""
    return (
        target.digest,
        target.version,
        tuple([(tensor.name, tensor.datatype, tensor.shape[1:]) for tensor in request.inputs]),
        tuple([output.name for output in request.outputs]),
    )


def _merged(members: Sequence[_Member]) -> InferRequest:
    requests = [member.request for member in members]
    deadlines = [request.deadline for request in requests]
    rows = sum([member.rows for member in members])
    inputs = [
        Tensor(same[0].name, same[0].datatype, (rows, *same[0].shape[1:]), b"".join([tensor.data for tensor in same]))
        for same in zip(*[request.inputs for request in requests], strict=True)
    ]
    first = requests[0]
    # Each request's own deadline is its endpoint's business: the worker may work until the last one of them.
    latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
    return InferRequest(
        first.model, first.version, inputs, first.outputs, deadline=latest, trace_headers=first.trace_headers
    )


def _parts(response: InferResponse, rows: Sequence[int]) -> Iterator[InferResponse]:
    """The response cut into those of the requests that it answers."""
    columns = [_cut(tensor, rows) for tensor in response.outputs]
    for outputs in zip(*columns, strict=True):
        yield InferResponse(response.model, response.version, outputs, response.parameters)


def _cut(tensor: Tensor, rows: Sequence[int]) -> list[Tensor]:
    total = sum(rows)
    if tensor.rows != total:
        raise EngineFailed(f"output '{tensor.name}' has {tensor.rows} rows for {total} that were asked")
    pieces, at = [], 0
    elements = tensor.elements() if tensor.datatype == "BYTES" else None
    width = len(elements if elements is not None else tensor.data) // total
    for count in rows:
        shape, start, at = (count, *tensor.shape[1:]), at, at + count * width
        if elements is None:
            pieces.append(Tensor(tensor.name, tensor.datatype, shape, tensor.data[start:at]))
        else:
            pieces.append(Tensor(tensor.name, "BYTES", shape, join_bytes(elements[start:at])))
    return pieces
