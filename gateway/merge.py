"""Several requests merged into one, and its answer split into one for each of them."""

from collections.abc import Hashable, Iterator, Sequence

from gateway.routing import Target
from wire.errors import EngineFailed
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor, join_bytes


def rows_of(request: InferRequest) -> int:
    """How many rows each tensor of the request has; 0 where they differ, which the worker refuses with a reason."""
    sizes = {tensor.shape[0] if tensor.shape else 0 for tensor in request.inputs}
    return sizes.pop() if len(sizes) == 1 else 0


def merge_key(target: Target, request: InferRequest) -> Hashable:
    """What requests must have in common to be merged."""
    return (
        target.digest,
        target.version,
        tuple([(tensor.name, tensor.datatype, tensor.shape[1:]) for tensor in request.inputs]),
        tuple([output.name for output in request.outputs]),
    )


def merge(requests: Sequence[InferRequest], rows: int) -> InferRequest:
    """One request with the rows of all, `rows` in number."""
    deadlines = [request.deadline for request in requests]
    inputs = [
        Tensor(same[0].name, same[0].datatype, (rows, *same[0].shape[1:]), b"".join([tensor.data for tensor in same]))
        for same in zip(*[request.inputs for request in requests], strict=True)
    ]
    first = requests[0]
    # Each request's own deadline is its endpoint's business: the worker may work until the last one of them.
    latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
    return InferRequest(
        first.model,
        first.version,
        inputs,
        first.outputs,
        deadline=latest,
        members=len(requests),
        trace_headers=first.trace_headers,
    )


def split(response: InferResponse, rows: Sequence[int]) -> Iterator[InferResponse]:
    """Split the response into one for each of the requests that it answers."""
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
