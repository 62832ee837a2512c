"""The openai client, sync and async, against a real platform."""

from collections.abc import Iterator

import numpy as np
import openai
import pytest

from tests.platform import Platform

SENTENCES = ["A cat sits by the window.", "A kitten is lying on the windowsill.", "Interest rates rose again."]


@pytest.fixture
def client(platform: Platform) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{platform.url}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_base64_which_the_client_asks_for_and_floats_are_the_same_vectors(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="minilm", input=SENTENCES)
    plain = client.embeddings.create(model="minilm", input=SENTENCES, encoding_format="float")
    assert [item.index for item in packed.data] == [0, 1, 2]
    vectors = np.array([item.embedding for item in packed.data], np.float32)
    np.testing.assert_array_equal(vectors, np.array([item.embedding for item in plain.data], np.float32))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] > 0.4 > vectors[0] @ vectors[2]


def test_usage_counts_the_tokens_also_when_the_answer_was_cached(client: openai.OpenAI) -> None:
    first, again = [client.embeddings.create(model="minilm", input="one two three") for _ in range(2)]
    assert first.model == again.model == "minilm"
    assert first.usage.prompt_tokens == first.usage.total_tokens == 5  # [CLS] one two three [SEP]
    assert again.usage == first.usage


def test_a_string_is_a_list_of_one(client: openai.OpenAI) -> None:
    alone = client.embeddings.create(model="minilm", input=SENTENCES[0])
    listed = client.embeddings.create(model="minilm", input=[SENTENCES[0]])
    assert alone.data[0].embedding == listed.data[0].embedding


async def test_the_async_client_gets_the_same_answers(platform: Platform, client: openai.OpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=f"{platform.url}/v1", api_key="any") as other:
        given = await other.embeddings.create(model="minilm", input=SENTENCES)
        assert given.data == client.embeddings.create(model="minilm", input=SENTENCES).data
        assert "minilm" in [model.id async for model in other.models.list()]


def test_the_models_that_embed_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert "minilm" in listed
    assert "digits" not in listed
    found = client.models.retrieve("minilm")
    assert found == listed["minilm"]
    assert (found.object, found.owned_by) == ("model", "headrace")
    assert found.created > 1_700_000_000
    with pytest.raises(openai.NotFoundError, match="does not embed text"):
        client.models.retrieve("digits")


def test_errors_are_the_client_s_own_and_say_what_is_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'nothing'"):
        client.embeddings.create(model="nothing", input="text")
    with pytest.raises(openai.BadRequestError, match="model 'digits' does not embed text"):
        client.embeddings.create(model="digits", input="text")
    with pytest.raises(openai.BadRequestError, match="token ids"):
        client.embeddings.create(model="minilm", input=[[101, 102]])
    with pytest.raises(openai.BadRequestError, match="384 dimensions"):
        client.embeddings.create(model="minilm", input="text", dimensions=385)
    with pytest.raises(openai.BadRequestError, match="not empty"):
        client.embeddings.create(model="minilm", input=[])


def test_a_vector_is_cut_to_the_dimensions_asked_for_and_has_length_1_again(client: openai.OpenAI) -> None:
    whole = np.array(client.embeddings.create(model="minilm", input="text", dimensions=384).data[0].embedding)
    short = client.embeddings.create(model="minilm", input="text", dimensions=96).data[0].embedding
    np.testing.assert_allclose(short, whole[:96] / np.linalg.norm(whole[:96]), atol=1e-6)
