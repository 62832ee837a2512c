"""huggingface_hub's InferenceClient against a real platform."""

from collections.abc import Callable

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

from tests.platform import Platform

Ask = Callable[[str], InferenceClient]
SENTENCES = ["A cat sits by the window.", "A kitten is lying on the windowsill.", "Interest rates rose again."]


@pytest.fixture
def ask(platform: Platform) -> Ask:
    return lambda model: InferenceClient(model=f"{platform.url}/models/{model}", token="any")


def test_features_of_a_text_are_a_vector_and_of_a_list_vectors(ask: Ask) -> None:
    alone = ask("minilm").feature_extraction(SENTENCES[0])
    listed = ask("minilm").feature_extraction(SENTENCES)
    assert (alone.shape, listed.shape) == ((384,), (3, 384))
    np.testing.assert_array_equal(alone, listed[0])


def test_features_refuse_what_the_model_cannot_do(ask: Ask) -> None:
    client = ask("minilm")
    np.testing.assert_array_equal(
        client.feature_extraction("text", normalize=True, truncate=True, dimensions=384, truncation_direction="right"),
        client.feature_extraction("text"),
    )
    with pytest.raises(BadRequestError, match="normalize"):
        client.feature_extraction("text", normalize=False)
    with pytest.raises(BadRequestError, match="prompt_name"):
        client.feature_extraction("text", prompt_name="nobody")
    with pytest.raises(BadRequestError, match="384 dimensions"):
        client.feature_extraction("text", dimensions=385)
    with pytest.raises(BadRequestError, match="the model takes 256"):
        client.feature_extraction("word " * 1000, truncate=False)


def test_similar_sentences_score_above_dissimilar_ones(ask: Ask) -> None:
    near, far = ask("minilm").sentence_similarity(SENTENCES[0], SENTENCES[1:])
    assert near > 0.4 > far
    (same,) = ask("minilm").sentence_similarity(SENTENCES[0], SENTENCES[:1])
    assert same == pytest.approx(1)


def test_a_text_gets_its_labels_the_likeliest_first(ask: Ask) -> None:
    labels = ask("sentiment").text_classification("a good film")
    assert [element.label for element in labels] == ["positive", "negative", "neutral"]
    assert sum(element.score for element in labels) == pytest.approx(1)
    (best,) = ask("sentiment").text_classification("a bad film", top_k=1)
    assert best.label == "negative"
    with pytest.raises(BadRequestError, match="function_to_apply"):
        ask("sentiment").text_classification("a bad film", function_to_apply="sigmoid")


def test_entities_are_found_where_they_stand(ask: Ask) -> None:
    text = "Did Ada Byron live here?"
    (person,) = ask("names").token_classification(text)
    assert (person.entity_group, person.word, text[person.start : person.end]) == ("PER", "Ada Byron", "Ada Byron")
    tokens = ask("names").token_classification(text, aggregation_strategy="none")
    assert [token.entity for token in tokens] == ["B-PER", "I-PER"]
    assert ask("names").token_classification(text, ignore_labels=["PER"]) == []
    with pytest.raises(BadRequestError, match="aggregation_strategy"):
        ask("names").token_classification(text, aggregation_strategy="max")


async def test_the_async_client_gets_the_same_answers(platform: Platform, ask: Ask) -> None:
    async with AsyncInferenceClient(model=f"{platform.url}/models/minilm", token="any") as client:
        given = await client.feature_extraction(SENTENCES)
    np.testing.assert_array_equal(given, ask("minilm").feature_extraction(SENTENCES))


def test_errors_say_what_to_do(ask: Ask) -> None:
    with pytest.raises(BadRequestError, match="/v2/models/digits/infer"):
        ask("digits").feature_extraction("text")
    with pytest.raises(HfHubHTTPError) as caught:
        ask("nothing").feature_extraction("text")
    assert caught.value.response.status_code == 404


def test_lists_of_texts_and_options_are_taken(platform: Platform) -> None:
    def post(model: str, **body: object) -> tuple[object, str]:
        answer = platform.http.post(f"/models/{model}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json(), answer.headers["x-cache"]

    both, _ = post("sentiment", inputs=["good", "bad"], parameters={"top_k": 1})
    assert [[row["label"] for row in rows] for rows in both] == [["positive"], ["negative"]]  # type: ignore[attr-defined]
    people, _ = post("names", inputs=["ada", "nobody"])
    assert [len(entities) for entities in people] == [1, 0]  # type: ignore[attr-defined]
    first, again = [post("minilm", inputs="cached once")[1] for _ in range(2)]
    assert (first, again) == ("miss", "hit")
    assert post("minilm", inputs="cached once", options={"use_cache": False})[1] == "bypass"


def test_a_model_that_is_still_loading_can_be_waited_for(platform: Platform) -> None:
    platform.publish(platform.artifacts["sentiment"], "awaited")
    answer = platform.http.post("/models/awaited", json={"inputs": "good", "options": {"wait_for_model": True}})
    assert answer.status_code == 200
    assert answer.json()[0][0]["label"] == "positive"
