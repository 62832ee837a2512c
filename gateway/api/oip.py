"""Open Inference Protocol v2: inference. What the protocol tells about models is in `oip_models.py`."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.api import schemas
from gateway.api.json_answer import FEW_ROWS, check_expected
from gateway.api.operations import Described, DescribedModel, post, ref
from gateway.api.question import Question, Rendered
from gateway.pipeline import Answer, RouteTableSource
from service.answers import JSON, OCTETS
from service.asgi import Headers, json_length
from service.bodies import Body
from storage.manifest import TensorSpec
from wire import headers as names
from wire.codec import OTHERWISE, decode_request, encode_response
from wire.json_body import DEFAULT, JsonLimits
from wire.schemas import Schema


class Inference:
    """`POST /v2/models/{model}[/versions/{version}]/infer`, as JSON or with binary tensors: a Decode."""

    def __init__(self, membership: RouteTableSource, limits: JsonLimits = DEFAULT) -> None:
        self._membership = membership
        self._limits = limits

    def __call__(self, path: Mapping[str, str], headers: Headers, body: Body) -> Question:
        limits = self._limits
        request = decode_request(body, json_length(headers), path["model"], path.get("version"), limits=limits)
        if request.inputs[0].rows > FEW_ROWS:
            target = self._membership.table.model(request.model).resolve(request.version)
            request.version = target.version  # where weights decide, it is this one that must answer
            check_expected(request, target, limits, OTHERWISE)

        def render(answer: Answer) -> Rendered:
            content, length = encode_response(answer.response, request, limits)
            if length is None:
                return content, [JSON]
            return content, [OCTETS, (names.INFERENCE_HEADER_CONTENT_LENGTH, b"%d" % length)]

        return Question(request, render, path.get("version"))


def describe(models: Sequence[DescribedModel]) -> Described:
    """Inference in general, and of each model with its own tensors."""
    request, response = ref("InferRequest"), ref("InferResponse")
    tag = "Open Inference Protocol"
    described = Described(
        {
            "/v2/models/{model}/infer": post(
                "infer", "Ask a model", tag, request, response, ("model",), binary=True
            ),
            "/v2/models/{model}/versions/{version}/infer": post(
                "infer_version", "Ask a version", tag, request, response, ("model", "version"), binary=True
            ),
        },
        schemas={"InferRequest": schemas.INFER_REQUEST, "InferResponse": schemas.INFER_RESPONSE},
    )  # fmt: skip
    for model in models:
        described.of_models[f"/v2/models/{model.name}/infer"] = _infer(model, described.schemas)
    return described


def _infer(model: DescribedModel, components: dict[str, Schema]) -> dict[str, Any]:
    """The model's path. The schemas of its bodies go into `components`."""

    def name_schema(what: str, schema: Schema) -> Schema:
        components[model.in_code.format(what)] = schema
        return ref(model.in_code.format(what))

    manifest = model.manifest
    request = response = None
    about = [manifest.description]
    if all(map(schemas.has_json_form, manifest.inputs)):
        request = name_schema("InferRequest", schemas.infer_request(manifest))
    else:
        about.append(_about_tensors("Takes", manifest.inputs))
    if any(map(schemas.has_json_form, manifest.outputs)):
        response = name_schema("InferResponse", schemas.infer_response(manifest))
    if not all(map(schemas.has_json_form, manifest.outputs)):
        about.append(_about_tensors("Answers", manifest.outputs))
    name = model.in_code.format("infer")
    return post(name, f"Ask {model.name}", "Models", request, response, about=about, binary=True)


def _about_tensors(verb: str, specs: Sequence[TensorSpec]) -> str:
    """What a schema cannot say of tensors that travel as bytes."""
    tensors = [f"`{spec.name}` {spec.datatype} {list(spec.shape)}" for spec in specs]
    return f"{verb} {', '.join(tensors)}. FP16 and BF16 have no JSON form, and must travel as bytes."
