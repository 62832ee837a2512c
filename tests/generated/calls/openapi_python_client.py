"""Calls the platform at the URL given, by the client that openapi-python-client has written."""

import importlib
import pkgutil
import sys

import headrace_client
from headrace_client.api.models import model_closed_infer, model_digits_infer
from headrace_client.api.open_ai import embeddings
from headrace_client.api.open_inference_protocol import infer, model_metadata
from headrace_client.models import (
    EmbeddingsBody,
    Error,
    InferRequest,
    InferRequestInputsItem,
    ModelClosedInferRequest,
    ModelClosedInferRequestInputsItem,
    ModelDigitsInferRequest,
)

PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}

for module in pkgutil.walk_packages(headrace_client.__path__, "headrace_client."):
    importlib.import_module(module.name)

client = headrace_client.Client(sys.argv[1])
vectors = embeddings.sync(client=client, body=EmbeddingsBody.from_dict({"model": "minilm", "input": ["a", "b"]}))
assert [len(item.embedding) for item in vectors.data] == [384, 384]

tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
given = InferRequest(inputs=[InferRequestInputsItem.from_dict(tensor)])
assert infer.sync("double", client=client, body=given).outputs[0].data == [2, 4, 6, 8]
typed = ModelClosedInferRequest(inputs=[ModelClosedInferRequestInputsItem.from_dict(tensor)])
assert model_closed_infer.sync(client=client, body=typed).outputs[0].data == [2, 4, 6, 8]
digit = model_digits_infer.sync(client=client, body=ModelDigitsInferRequest.from_dict({"inputs": [PIXELS]}))
assert [len(output.data) for output in digit.outputs] == [1, 10]

assert model_metadata.sync("double", client=client).inputs[0].shape == [-1, 4]
refused = infer.sync("nothing", client=client, body=given)
assert isinstance(refused, Error)
assert "no model 'nothing'" in refused.error
