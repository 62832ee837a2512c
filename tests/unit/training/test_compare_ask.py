"""What is asked of the version that serves, and what its rows say, as the task's contract has it."""

import json
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from training.compare.ask import Service, _predict
from training.tasks.open import open_task
from wire.tasks.contract import NotComparable

ROWS: Any = {"text": ["dry", "wet"], "text_pair": ["arid", "damp"], "label": ["no", "yes"]}


def predicted(task: str, outputs: Any, labels: list[str]) -> tuple[list[Any], list[Any]]:
    """The predictions, and the inputs that were asked for; each request is answered with the next of the outputs."""
    asked, left = [], iter(outputs)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["inputs"])
        return httpx.Response(200, json={"model_version": "3", "outputs": [next(left)]})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://serves") as client:
        model: Any = SimpleNamespace(labels=labels)
        return _predict(Service(client, "m", "stable"), open_task(task), model, ROWS), asked


def labels(*rows: dict[str, float]) -> dict[str, Any]:
    data = [json.dumps([{"label": name, "score": score} for name, score in row.items()]) for row in rows]
    return {"name": "labels", "datatype": "BYTES", "shape": [len(rows)], "data": data}


def test_scores_are_read_by_label() -> None:
    answered = labels({"yes": 0.75, "no": 0.25}, {"no": 0, "yes": 1})
    found, asked = predicted("text-classification", [answered], ["no", "yes"])
    assert found == [{"no": 0.25, "yes": 0.75}, {"no": 0.0, "yes": 1.0}]
    assert asked == [[{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["dry", "wet"]}]]


def test_other_labels_are_told_apart_from_those_of_the_new_model() -> None:
    with pytest.raises(NotComparable, match="it tells no, yes apart, the new model no, perhaps"):
        predicted("text-classification", [labels({"yes": 1, "no": 0}, {"yes": 0, "no": 1})], ["no", "perhaps"])


def test_a_pair_of_texts_has_a_pair_of_vectors() -> None:
    vectors = [[1, 2, 3, 4], [5, 6, 7, 8]]
    outputs = [{"name": "embedding", "datatype": "FP32", "shape": [2, 2], "data": some} for some in vectors]
    found, asked = predicted("embedding", outputs, [])
    assert np.stack(found).tolist() == [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    assert [inputs[0]["data"] for inputs in asked] == [ROWS["text"], ROWS["text_pair"]]


def test_entities_are_in_no_form_that_could_be_measured_and_are_not_asked_for() -> None:
    with pytest.raises(NotComparable, match="token-classification model are in no form"):
        predicted("token-classification", [], [])
