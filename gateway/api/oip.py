"""Open Inference Protocol v2: inference. What the protocol tells about models is in `oip_models.py`."""

from collections.abc import Mapping

from gateway.api.endpoint import Question, Rendered
from gateway.pipeline import Answer
from model_service.protocol import headers as names
from model_service.protocol.codec import decode_request, encode_response
from model_service.protocol.http import JSON, OCTETS, Headers, json_length


def decode(path: Mapping[str, str], headers: Headers, body: bytes) -> Question:
    """`POST /v2/models/{model}[/versions/{version}]/infer`, as JSON or with binary tensors."""
    request = decode_request(body, json_length(headers), path["model"], path.get("version"))

    def render(answer: Answer) -> Rendered:
        content, length = encode_response(answer.response, request)
        if length is None:
            return content, [JSON]
        return content, [OCTETS, (names.INFERENCE_HEADER_CONTENT_LENGTH, b"%d" % length)]

    return Question(request, render)
