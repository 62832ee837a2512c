"""The right values are those of sentence-transformers' `SentenceTransformer.similarity`."""

from array import array
from pathlib import Path

import pytest

from tests.unit.gateway.application import application, embeds, text_model, worker
from tests.unit.gateway.conftest import Start
from wire.tasks.similarity import COMPARE

ONE, OTHER = array("f", [1, 2, 0]), array("f", [2, 2, 2])


@pytest.mark.parametrize(
    ("how", "value"),
    [("cosine", 6 / (5 * 12) ** 0.5), ("dot", 6), ("euclidean", -(5**0.5)), ("manhattan", -3)],
)
def test_vectors_are_compared_as_the_model_says(how: str, value: float) -> None:
    assert COMPARE[how](ONE, OTHER) == pytest.approx(value)


def test_nothing_is_like_a_vector_of_zeros() -> None:
    assert COMPARE["cosine"](ONE, array("f", [0, 0, 0])) == 0


async def test_a_model_s_own_way_is_the_one_of_its_route(tmp_path: Path, start: Start) -> None:
    async with application(tmp_path) as app:
        await app.upload()
        await app.publish(text_model("sentence-embedding", "embedder", similarity="dot"))
        await app.load(await start(worker(embeds)))
        inputs = {"source_sentence": "ab", "sentences": ["abc"]}
        answer = await app.client.post("/models/embedder", json={"inputs": inputs})
    assert answer.json() == [2 * 3 + 1 + 0.25]
