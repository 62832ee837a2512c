"""Answers that JSON may not hold: refused in the protocol's own words, and where it can be before they are computed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.application import Application, application, described, embeds, text_model, worker
from tests.unit.gateway.conftest import Start
from wire.messages import InferRequest, InferResponse
from wire.tensors import Tensor

VALUES = 200  # what JSON may have


@pytest.fixture
def computed() -> list[InferRequest]:
    """What the worker was asked."""
    return []


@pytest.fixture
async def app(tmp_path: Path, start: Start, computed: list[InferRequest]) -> AsyncIterator[Application]:
    def answer(request: InferRequest) -> InferResponse:
        computed.append(request)
        if request.inputs[0].datatype == "BYTES":
            return embeds(request)
        rows = request.inputs[0].rows
        return InferResponse("", "", (Tensor("y", "FP32", (rows, 8), bytes(32 * rows)),))

    wide: list[dict[str, Any]] = [
        {"name": "y", "datatype": "FP32", "shape": [-1, 8]},
        {"name": "z", "datatype": "INT8", "shape": [-1]},
    ]
    async with application(tmp_path, max_json_values=VALUES) as app:
        await app.upload()
        await app.publish(text_model("sentence-embedding", "embedder"))
        await app.publish(described("together", outputs=wide))
        await app.publish(described("alone", outputs=wide[:1], batching={"max_rows": 1}))
        await app.publish(described("unknown", outputs=[{**wide[0], "shape": [-1, -1]}]))
        await app.load(await start(worker(answer)))
        yield app


def tensors(rows: int, **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 2], "data": [0.5] * 2 * rows}], **more}


async def refusal(app: Application, path: str, body: dict[str, Any]) -> str:
    answer = await app.client.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    return str(error["message"] if isinstance(error, dict) else error)


TEXTS = ["a"] * 51
TOO_MANY = "the answer has 204 values, as JSON it may have 200: "


async def test_what_json_will_not_hold_is_refused_before_it_is_computed_in_the_protocol_s_words(
    app: Application, computed: list[InferRequest]
) -> None:
    openai = await refusal(app, "/v1/embeddings", {"model": "embedder", "input": TEXTS})
    assert openai == f'{TOO_MANY}ask for it with "encoding_format": "base64", or for fewer inputs at a time'
    assert await refusal(app, "/models/embedder", {"inputs": TEXTS}) == f"{TOO_MANY}ask for fewer inputs at a time"
    text = {"name": "text", "datatype": "BYTES", "shape": [51], "data": TEXTS}
    in_binary = f'{TOO_MANY}ask for it in binary ("binary_data_output": true), or for fewer rows at a time'
    assert await refusal(app, "/v2/models/embedder/infer", {"inputs": [text]}) == in_binary
    assert "the answer has 207 values" in await refusal(app, "/v2/models/together/infer", tensors(23))
    assert "the answer has 208 values" in await refusal(
        app, "/v2/models/together/infer", tensors(26, outputs=[{"name": "y"}])
    )
    assert computed == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "embedder", "input": TEXTS, "encoding_format": "base64"}),
        ("/v1/embeddings", {"model": "embedder", "input": TEXTS[1:]}),
        ("/v1/embeddings", {"model": "embedder", "input": TEXTS, "dimensions": 3}),
        ("/models/embedder", {"inputs": TEXTS, "dimensions": 3}),
        ("/v2/models/together/infer", tensors(25, outputs=[{"name": "y"}])),
        ("/v2/models/together/infer", tensors(30, parameters={"binary_data_output": True})),
        ("/v2/models/together/infer", tensors(30, outputs=[{"name": "y", "parameters": {"binary_data": True}}])),
        ("/v2/models/together/infer", tensors(30, outputs=[{"name": "z"}])),
        (
            "/v2/models/together/infer",
            tensors(30, outputs=[{"name": "y"}], parameters={"binary_data_output": True}),
        ),
    ],
)
async def test_what_is_asked_for_in_another_form_or_fits_is_answered(
    app: Application, computed: list[InferRequest], path: str, body: dict[str, Any]
) -> None:
    await app.client.post(path, json=body)
    assert len(computed) == 1


@pytest.mark.parametrize("model", ["alone", "unknown"])
async def test_an_answer_of_unknown_size_is_counted_once_it_is_there(
    app: Application, computed: list[InferRequest], model: str
) -> None:
    assert "the answer has 240 values" in await refusal(app, f"/v2/models/{model}/infer", tensors(30))
    assert len(computed) == 1
