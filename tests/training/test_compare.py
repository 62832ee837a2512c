"""Asking the version that serves: what it answers is measured, and what cannot be is told and stops nothing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from tests.training.train_stage import SMALL, recipe
from training.compare.ask import ServingUnknown, ask
from training.recipe.evaluate import Against
from training.tasks.open import open_task

pytestmark = pytest.mark.filterwarnings("default")
Answers = Callable[[dict[str, Any]], bytes]


@contextmanager
def gateway(answers: Answers) -> Iterator[Against]:
    """Something that answers every POST."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answers(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Against(url=f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def test_both_texts_of_an_embedding_are_asked_for() -> None:
    task = open_task("embedding")
    model = task.start(recipe(task="embedding", model=SMALL), ())
    model.network.eval()
    rows = Dataset.from_list([{"text": f"water {n}", "text_pair": f"a river of {n}"} for n in range(40)])
    expected = np.stack(task.predict(task.eager(model), model, rows))
    vectors = dict(zip([*rows["text"], *rows["text_pair"]], np.concatenate([*expected.swapaxes(0, 1)]), strict=True))

    def answers(asked: dict[str, Any]) -> bytes:
        found = np.stack([vectors[text] for text in asked["inputs"][0]["data"]])
        output = {"name": "embedding", "shape": found.shape, "datatype": "FP32", "data": found.ravel().tolist()}
        return json.dumps({"model_version": "3", "outputs": [output]}).encode()

    with gateway(answers) as against:
        version, predictions = ask(against, "m", task, model, rows)
    assert version == "3"
    assert np.allclose(np.stack(predictions), expected)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "is no headrace gateway"),
        (b"[]", "is no headrace gateway"),
        (json.dumps({"model_version": "3", "outputs": []}).encode(), "not such as the new model gives: KeyError"),
        (
            json.dumps(
                {
                    "model_version": "3",
                    "outputs": [{"name": "logits", "shape": [2, 3], "datatype": "FP32", "data": [0, 1, 2, 3, 4, 5]}],
                }
            ).encode(),
            "not such as the new model gives: ValueError",
        ),
    ],
)
def test_what_gives_other_answers_is_not_compared_with_and_stops_nothing(answer: bytes, words: str) -> None:
    task = open_task("tabular-classification")
    config = {"model_type": "headrace-tabular", "columns": ["a", "b"]}
    model = task.start(recipe(task="tabular-classification", model={"config": config}), ("no", "yes"))
    model.network.eval()
    rows = Dataset.from_list([{"a": 1.0, "b": 2.0, "label": "no"}, {"a": 3.0, "b": 4.0, "label": "yes"}])
    with gateway(lambda asked: answer) as against, pytest.raises(ServingUnknown, match=words):
        ask(against, "m", task, model, rows)
