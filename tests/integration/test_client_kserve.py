"""KServe's REST client against a real platform."""

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferOutput, InferRequest, InferResponse, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from numpy.typing import NDArray

from tests.platform import Platform


@pytest.fixture
async def client() -> AsyncIterator[InferenceRESTClient]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        yield client


def request(values: NDArray[np.float32], *, binary: bool) -> InferRequest:
    given = InferInput("x", list(values.shape), "FP32")
    given.set_data_from_numpy(values, binary_data=binary)
    return InferRequest("double", [given], request_outputs=[RequestedOutput("y", {"binary_data": binary})])


@pytest.mark.parametrize("binary", [True, False])
async def test_tensors_go_and_come_in_json_and_in_binary(
    platform: Platform, client: InferenceRESTClient, binary: bool
) -> None:
    values = np.array([[1.5, 2, 3, 4]], np.float32)
    answer = await client.infer(platform.url, request(values, binary=binary), model_name="double")
    assert isinstance(answer, InferResponse)
    (output,) = answer.outputs
    assert isinstance(output, InferOutput)
    np.testing.assert_array_equal(output.as_numpy(), 2 * values)


async def test_text_goes_in_and_a_vector_comes_out(platform: Platform, client: InferenceRESTClient) -> None:
    text = InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"a sentence"], np.object_), binary_data=True)
    answer = await client.infer(platform.url, InferRequest("minilm", [text]), model_name="minilm")
    assert answer.outputs[0].as_numpy().shape == (1, 384)


async def test_it_sees_what_lives_and_what_is_ready(platform: Platform, client: InferenceRESTClient) -> None:
    assert await client.is_server_live(platform.url)
    assert await client.is_server_ready(platform.url)
    assert await client.is_model_ready(platform.url, "double")
    assert not await client.is_model_ready(platform.url, "nothing")


async def test_an_error_names_its_reason(platform: Platform, client: InferenceRESTClient) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=r"\[1, 3\]"):
        await client.infer(platform.url, request(np.zeros((1, 3), np.float32), binary=True), model_name="double")
