"""Rows of numbers as lines of text: `1 2` in, `2 4` out."""

from collections.abc import Mapping, Sequence

from gateway.api.operations import Described, DescribedModel, post
from gateway.api.question import Question, Rendered
from gateway.pipeline import Answer, RouteTableSource
from service.asgi import Headers
from service.bodies import Body
from wire.errors import InvalidInput
from wire.messages import InferRequest
from wire.schemas import STRING
from wire.tasks.vectors import vectors_of
from wire.tensors import from_json

PATH = "/lines/{model}"
_TEXT = (b"content-type", b"text/plain")


class Lines:
    """A Decode that knows the models."""

    def __init__(self, membership: RouteTableSource) -> None:
        self._membership = membership

    def __call__(self, path: Mapping[str, str], headers: Headers, body: Body) -> Question:
        target = self._membership.table.model(path["model"]).resolve(None)
        try:
            rows = [[float(word) for word in line.split()] for line in bytes(body).decode().splitlines()]
        except ValueError as error:
            raise InvalidInput(f"the body must be lines of numbers: {error}") from error
        tensor = from_json(target.manifest.inputs[0].name, "FP32", (len(rows), len(rows[0])), rows)
        return Question(InferRequest(target.model, target.version, [tensor]), _render)


def _render(answer: Answer) -> Rendered:
    rows = vectors_of(answer.response.outputs[0])
    return "".join(f"{' '.join(format(number, 'g') for number in row)}\n" for row in rows).encode(), [_TEXT]


def describe(models: Sequence[DescribedModel]) -> Described:
    return Described({PATH: post("lines", "Rows as lines", "Lines", STRING, STRING, ("model",))})
