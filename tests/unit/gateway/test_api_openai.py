import struct
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.application import Application, application, described, embeds, text_model, worker
from tests.unit.gateway.conftest import Start
from wire.messages import InferRequest, InferResponse


@pytest.fixture
async def app(tmp_path: Path, start: Start) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        await app.publish(text_model("sentence-embedding", "embedder"))
        await app.publish(described())
        await app.load(await start(worker(embeds)))
        yield app


async def ask(app: Application, **body: Any) -> Any:
    answer = await app.client.post("/v1/embeddings", json={"model": "embedder", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refusal(app: Application, **body: Any) -> str:
    answer = await app.client.post("/v1/embeddings", json={"model": "embedder", **body})
    assert 400 <= answer.status_code < 500
    message: str = answer.json()["error"]["message"]
    return message


async def test_each_text_gets_its_vector_in_order(app: Application) -> None:
    assert await ask(app, input=["a", "abc"]) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [1, 1, 0.5, 0]},
            {"object": "embedding", "index": 1, "embedding": [3, 1, 0.5, 0]},
        ],
        "model": "embedder",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    (alone,) = (await ask(app, input="abc"))["data"]
    assert alone["embedding"] == [3, 1, 0.5, 0]


async def test_base64_holds_the_same_numbers_as_little_endian_floats(app: Application) -> None:
    (item,) = (await ask(app, input="ab", encoding_format="base64"))["data"]
    assert struct.unpack("<4f", b64decode(item["embedding"])) == (2, 1, 0.5, 0)


async def test_null_is_as_good_as_left_out(app: Application) -> None:
    plain = await ask(app, input="a")
    nothing = {"encoding_format": None, "dimensions": None, "user": None, "something else": None}
    assert await ask(app, input="a", **nothing) == plain


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "input must be a string"),
        ({"input": []}, "not empty"),
        ({"input": [1, 2]}, "token ids"),
        ({"input": [[1, 2]]}, "token ids"),
        ({"input": ["a", None]}, "list of strings"),
        ({"input": [["a", "b"]]}, "list of strings, not of a list of 2"),
        ({"input": [[]]}, "list of strings"),
        ({"input": [[["a"]]]}, "list of strings"),
        ({"input": [True]}, "list of strings, not of true"),
        ({"input": "a", "prompt": "query: "}, "unknown parameter 'prompt'; this takes model, input, encoding_format"),
        ({"input": {"text": "a"}}, "list of strings"),
        ({"input": "a", "dimensions": 5}, "4 dimensions: ask for 1 to 4"),
        ({"input": "a", "dimensions": "4"}, "4 dimensions"),
        ({"input": "a", "dimensions": 0}, "4 dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "'float' or 'base64'"),
        ({"input": "a", "encoding_format": []}, "'float' or 'base64'"),
        ({"input": "a", "model": "m"}, "does not embed text"),
        ({"input": "a", "model": "nobody"}, "no model 'nobody'"),
        ({"input": "a", "model": None}, "model must be a string"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_its_reason(
    app: Application, body: dict[str, Any], words: str
) -> None:
    assert words in await refusal(app, **body)


async def test_a_prompt_and_dimensions_are_asked_of_the_model(tmp_path: Path, start: Start) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: InferRequest) -> InferResponse:
        asked.append(request.parameters)
        return embeds(request)

    async with application(tmp_path) as app:
        await app.upload()
        await app.publish(text_model("sentence-embedding", "embedder"))
        await app.load(await start(worker(answer)))
        await ask(app, input="a", prompt_name="query", dimensions=2)
        await ask(app, input="a", prompt_name=None, dimensions=4)
        body = {"inputs": "b", "prompt_name": "query", "dimensions": 2, "truncation_direction": "Right"}
        (await app.client.post("/models/embedder", json=body)).raise_for_status()
    wanted = {"prompt_name": "query", "dimensions": 2}
    assert [{name: given[name] for name in wanted.keys() & given} for given in asked] == [wanted, {}, wanted]


async def test_a_body_that_is_no_json_object_is_refused(app: Application) -> None:
    for content in (b"", b"[]", b"{", b"\xff"):
        answer = await app.client.post("/v1/embeddings", content=content)
        assert answer.status_code == 400
        assert "JSON" in answer.json()["error"]["message"]


async def test_the_model_s_own_dimensions_may_be_asked_for(app: Application) -> None:
    assert await ask(app, input="a", dimensions=4) == await ask(app, input="a")


async def test_the_models_that_embed_are_listed(app: Application) -> None:
    listed = (await app.client.get("/v1/models")).json()
    assert listed["object"] == "list"
    (model,) = listed["data"]
    assert (model["id"], model["object"], model["owned_by"]) == ("embedder", "model", "headrace")
    assert (await app.client.get("/v1/models/embedder")).json() == model
    assert (await app.client.get("/v1/models/m")).status_code == 404
    assert (await app.client.get("/v1/models/nobody")).status_code == 404
