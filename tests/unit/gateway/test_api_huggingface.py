import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.unit.gateway.application import Application, application, described, embeds, text_model, worker
from tests.unit.gateway.conftest import Start
from wire.messages import InferRequest, InferResponse
from wire.tasks.table import task_named
from wire.tensors import bytes_tensor

ENTITIES = [{"entity_group": "PER", "word": "ada"}, {"entity_group": "LOC", "word": "rome"}]


def finds_entities(asked: list[InferRequest]) -> Callable[[InferRequest], InferResponse]:
    """A worker that finds the same in every text, and remembers what it was asked."""

    def answer(request: InferRequest) -> InferResponse:
        asked.append(request)
        given = [orjson.dumps(ENTITIES) for _ in request.inputs[0].elements()]
        return InferResponse("", "", (bytes_tensor("labels", given),))

    return answer


@pytest.fixture
def asked() -> list[InferRequest]:
    """What the worker that answers rows of JSON was asked."""
    return []


@pytest.fixture
async def app(tmp_path: Path, start: Start, asked: list[InferRequest]) -> AsyncIterator[Application]:
    async with application(tmp_path, refresh_s=0.01) as app:
        await app.upload()
        await app.publish(text_model("sentence-embedding"))
        await app.load(await start(worker(embeds)), id="embeds")
        for manifest in (text_model("text-classification"), text_model("token-classification"), described("tensors")):
            await app.publish(manifest)
        ready = {"state": "ready", "reason": None}
        url = await start(worker(finds_entities(asked)))
        await app.components.registry.beat("rows", url, {str(n): ready for n in (2, 3, 4)})
        await app.components.membership.refresh()
        yield app


async def ask(app: Application, model: str, **body: Any) -> Any:
    answer = await app.client.post(f"/models/{model}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refusal(app: Application, model: str, **body: Any) -> str:
    answer = await app.client.post(f"/models/{model}", json=body)
    assert answer.status_code == 400, answer.text
    message: str = answer.json()["error"]
    return message


async def test_a_text_gets_a_vector_and_a_list_gets_vectors(app: Application) -> None:
    assert await ask(app, "sentence-embedding", inputs="ab") == [2, 1, 0.5, 0]
    assert await ask(app, "sentence-embedding", inputs=["ab", "c"]) == [[2, 1, 0.5, 0], [1, 1, 0.5, 0]]


async def test_similarity_is_the_cosine_of_each_sentence_with_the_source(app: Application) -> None:
    inputs = {"source_sentence": "ab", "sentences": ["xy", ""]}
    same, other = await ask(app, "sentence-embedding", inputs=inputs)
    assert same == pytest.approx(1)
    assert other == pytest.approx((0 * 2 + 1 + 0.25) / ((4 + 1.25) * 1.25) ** 0.5)


async def test_labels_come_in_a_list_for_each_text(app: Application, asked: list[InferRequest]) -> None:
    parameters = {"top_k": 2, "function_to_apply": "softmax"}
    assert await ask(app, "text-classification", inputs="one", parameters=parameters) == [ENTITIES]
    assert asked[-1].parameters["top_k"] == 2
    assert await ask(app, "text-classification", inputs=["one", "two"]) == [ENTITIES, ENTITIES]
    assert "top_k" not in asked[-1].parameters


async def test_entities_come_flat_for_a_text_and_in_lists_for_a_list(
    app: Application, asked: list[InferRequest]
) -> None:
    assert await ask(app, "token-classification", inputs="one") == ENTITIES
    assert await ask(app, "token-classification", inputs=["one"]) == [ENTITIES]
    parameters = {"ignore_labels": ["PER"], "aggregation_strategy": "simple"}
    assert await ask(app, "token-classification", inputs="one", parameters=parameters) == ENTITIES[1:]
    assert asked[-1].parameters["aggregation_strategy"] == "simple"
    assert "ignore_labels" not in asked[-1].parameters


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        ("sentence-embedding", {}, "inputs must be a string"),
        ("sentence-embedding", {"inputs": []}, "not empty"),
        ("sentence-embedding", {"inputs": [1]}, "token ids"),
        ("sentence-embedding", {"inputs": [["a", "b"]]}, "not of a list of 2"),
        ("text-classification", {"inputs": [["a", "b"]]}, "not of a list of 2"),
        ("sentence-embedding", {"inputs": {"source_sentence": "a"}}, "'sentences'"),
        ("sentence-embedding", {"inputs": {"source_sentence": "a", "sentences": []}}, "not empty"),
        ("sentence-embedding", {"inputs": "a", "parameters": []}, "parameters must be an object"),
        ("sentence-embedding", {"inputs": "a", "options": 1}, "options must be an object"),
        ("sentence-embedding", {"inputs": "a", "options": {"use_cache": 0}}, "use_cache must be true or false"),
        ("sentence-embedding", {"inputs": "a", "normalize": False}, "normalize is true"),
        ("sentence-embedding", {"inputs": "a", "parameters": {"normalize": False}}, "normalize is true"),
        ("sentence-embedding", {"inputs": "a", "encoding_format": "base64"}, "encoding_format"),
        ("sentence-embedding", {"inputs": "a", "truncation_direction": "left"}, "truncation_direction"),
        ("sentence-embedding", {"inputs": "a", "dimensions": 5}, "4 dimensions"),
        ("text-classification", {"inputs": "a", "parameters": {"prompt_name": "q"}}, "unknown parameter 'prompt_name'"),
        ("text-classification", {"inputs": "a", "parameters": {"function_to_apply": "none"}}, 'is "softmax"'),
        ("token-classification", {"inputs": "a", "parameters": {"stride": 3}}, "unknown parameter 'stride'"),
        ("token-classification", {"inputs": "a", "parameters": {"ignore_labels": "O"}}, "ignore_labels"),
        ("tensors", {"inputs": "a"}, "POST /v2/models/tensors/infer"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_with_its_reason(
    app: Application, model: str, body: dict[str, Any], words: str
) -> None:
    assert words in await refusal(app, model, **body)


async def test_null_is_as_good_as_left_out_wherever_something_may_be(app: Application) -> None:
    for task in ("sentence-embedding", "text-classification", "token-classification"):
        plain = await ask(app, task, inputs="a")
        parameters = dict.fromkeys(task_named(task).body_parameters)
        options = {"use_cache": None, "wait_for_model": None}
        assert await ask(app, task, inputs="a", parameters=parameters, options=options) == plain
        assert await ask(app, task, inputs="a", parameters=None, options=None, **parameters) == plain


async def test_the_cache_can_be_left_out(app: Application) -> None:
    async def outcome(**options: bool) -> str:
        body = {"inputs": "again", "options": options}
        answer = await app.client.post("/models/sentence-embedding", json=body)
        outcome: str = answer.headers["x-cache"]
        return outcome

    assert [await outcome(), await outcome(use_cache=True), await outcome(use_cache=False)] == ["miss", "hit", "bypass"]


async def test_a_model_that_is_not_loaded_yet_is_waited_for_where_asked(app: Application) -> None:
    await app.publish(text_model("sentence-embedding", "late"))
    impatient = await app.client.post("/models/late", json={"inputs": "a"})
    assert impatient.status_code == 503
    body = {"inputs": "a", "options": {"wait_for_model": True}}
    given_up = await app.client.post("/models/late", json=body, headers={"x-request-timeout-ms": "50"})
    assert given_up.status_code == 503
    patient = asyncio.create_task(app.client.post("/models/late", json=body))
    await asyncio.sleep(0.05)
    assert not patient.done()
    url = next(r.url for r in app.components.membership.replicas.values() if r.id == "embeds")
    await app.load(url, id="embeds")
    assert (await patient).json() == [1, 1, 0.5, 0]


async def test_a_model_that_will_not_come_by_itself_is_not_waited_for(app: Application) -> None:
    body = {"inputs": "a", "options": {"wait_for_model": True}}  # without the reason at once, this waits for 30 s
    broken = (await app.publish(text_model("sentence-embedding", "broken"))).json()
    await app.components.registry.mark_failed(broken["id"], "no such operator")
    await app.components.membership.refresh()
    answer = await app.client.post("/models/broken", json=body)
    assert (answer.status_code, "no such operator" in answer.json()["error"]) == (503, True)
    await app.publish(text_model("sentence-embedding", "off"))
    await app.client.post("/admin/models/off/unload")
    answer = await app.client.post("/models/off", json=body)
    assert (answer.status_code, "load it first" in answer.json()["error"]) == (503, True)
