"""Calls the platform at the URL given, by the client that openapi-generator's template `python` has written."""

import importlib
import pkgutil
import sys

import openapi_client
from openapi_client import (
    ApiClient,
    Configuration,
    EmbeddingsRequest,
    EmbeddingsRequestInput,
    InferRequest,
    ModelClosedInferRequest,
    ModelDigitsInferRequest,
    ModelsApi,
    OpenAIApi,
    OpenInferenceProtocolApi,
)
from openapi_client.exceptions import NotFoundException

PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}

for module in pkgutil.walk_packages(openapi_client.__path__, "openapi_client."):
    importlib.import_module(module.name)

with ApiClient(Configuration(host=sys.argv[1])) as client:
    texts = EmbeddingsRequestInput(["a", "b"])
    vectors = OpenAIApi(client).embeddings(EmbeddingsRequest(model="minilm", input=texts))
    assert [len(item.embedding.actual_instance) for item in vectors.data] == [384, 384]

    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    protocol = OpenInferenceProtocolApi(client)
    assert protocol.infer("double", InferRequest.from_dict({"inputs": [tensor]})).outputs[0].data == [2, 4, 6, 8]
    typed = ModelClosedInferRequest.from_dict({"inputs": [tensor]})
    assert ModelsApi(client).model_closed_infer(typed).outputs[0].data == [2, 4, 6, 8]
    digit = ModelsApi(client).model_digits_infer(ModelDigitsInferRequest.from_dict({"inputs": [PIXELS]}))
    assert [len(output.actual_instance.data) for output in digit.outputs] == [1, 10]

    assert protocol.model_metadata("double").inputs[0].shape == [-1, 4]
    try:
        protocol.infer("nothing", InferRequest.from_dict({"inputs": [tensor]}))
        message = ""
    except NotFoundException as refused:
        message = refused.data.error
    assert "no model 'nothing'" in message
