"""Hugging Face's inference style: `POST /models/{model}` with `{"inputs": ..., "parameters": ..., "options": ...}`.

Each task answers in the shape of Hugging Face's own API, which `huggingface_hub.InferenceClient` reads. A parameter
that would change the answer and that the model cannot follow is refused, not ignored.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.api.json_answer import FEW_ROWS, check_expected
from gateway.api.operations import Described, DescribedModel, post, ref
from gateway.api.question import Question, Rendered
from gateway.api.schemas import ANY_TASK_REQUEST, task_request
from gateway.pipeline import Answer, RouteTableSource
from service.answers import JSON
from service.asgi import Headers
from service.bodies import Body
from wire.errors import InvalidInput
from wire.json_body import DEFAULT, JsonLimits, check_answer, read_json
from wire.messages import InferRequest
from wire.quote import quote
from wire.tensors import bytes_tensor

_ENVELOPE: Final = ("inputs", "parameters", "options")
_OTHERWISE: Final = "ask for fewer inputs at a time"


class HuggingFace:
    """A Decode that knows the models, and so their tasks."""

    def __init__(self, membership: RouteTableSource, limits: JsonLimits = DEFAULT) -> None:
        self._membership = membership
        self._limits = limits

    def __call__(self, path: Mapping[str, str], headers: Headers, body: Body) -> Question:
        target = self._membership.table.model(path["model"]).resolve(None)
        asked = read_json(body, self._limits, "the body")
        options = _object(asked, "options")
        # InferenceClient sends the parameters of feature extraction beside the inputs, all others in an object.
        beside = {name: value for name, value in asked.items() if name not in _ENVELOPE}
        parameters = {**beside, **_object(asked, "parameters")}
        work = target.task.read_body(asked.get("inputs"), parameters, target.manifest)
        tensor = bytes_tensor(target.manifest.inputs[0].name, work.texts)
        request = InferRequest(target.model, target.version, [tensor], parameters=work.parameters)
        if len(work.texts) > FEW_ROWS:
            check_expected(request, target, self._limits, _OTHERWISE)

        def render(answer: Answer) -> Rendered:
            (output,) = answer.response.outputs
            if output.datatype == "BYTES":
                check_answer(0, len(output.data), self._limits, _OTHERWISE)
            else:
                check_answer(len(output.data) // 4, 0, self._limits, _OTHERWISE)
            return orjson.dumps(work.shape(answer.response)), [JSON]

        return Question(
            request,
            render,
            no_cache=not _flag(options, "use_cache", True),
            wait=_flag(options, "wait_for_model", False),
        )


def describe(models: Sequence[DescribedModel]) -> Described:
    """Tasks in general, and of each model that takes text its own."""
    described = Described(
        {
            "/models/{model}": post(
                "run_task", "Run a text model's task", "Hugging Face", ANY_TASK_REQUEST, {}, ("model",)
            )
        }
    )
    for model in models:
        if model.task.takes_text:
            request = model.in_code.format("TaskRequest")
            described.schemas[request] = task_request(model.task)
            described.of_models[f"/models/{model.name}"] = post(
                *(model.in_code.format("task"), f"{model.task.name} with {model.name}", "Models"),
                *(ref(request), model.task.body_answer),
                about=[model.manifest.description],
            )
    return described


def _object(asked: dict[str, Any], name: str) -> dict[str, Any]:
    value = asked.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be an object")
    return value


def _flag(options: dict[str, Any], name: str, default: bool) -> bool:
    value = options.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(f"options.{name} must be true or false, not {quote(value)}")
    return value
