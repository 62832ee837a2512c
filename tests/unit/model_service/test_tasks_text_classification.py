from pathlib import Path

import numpy as np
import orjson
import pytest

from model_service.engines.base import EngineError
from model_service.tasks.base import Answer
from model_service.tasks.text_classification import scores
from tests.unit.model_service.graphs import save_token_table
from tests.unit.model_service.texts import Loaded, ask, copy_tokenizer, text_manifest, token_id
from wire.errors import EngineFailed, InvalidInput

LABELS = ("negative", "neutral", "positive")
WORDS: dict[str, list[float]] = {"good": [0, 0, 2], "bad": [2, 0, 0], "great": [0, 0, 4], "broken": [np.nan, 0, 0]}
ROWS = ("labels", "BYTES", [-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A graph that adds up what each word says for and against."""
    tokenizer = copy_tokenizer(tmp_path)
    table = {token_id(tokenizer, word): logits for word, logits in WORDS.items()}
    save_token_table(tmp_path / "model.onnx", table, tokenizer.get_vocab_size(), pooled=True)
    return tmp_path


@pytest.fixture
def loaded(folder: Path) -> Loaded:
    return Loaded(text_manifest("text-classification", ROWS, labels=LABELS), folder)


def rows(answer: Answer) -> list[list[dict[str, object]]]:
    (tensor,) = answer.outputs
    assert (tensor.name, tensor.datatype) == ("labels", "BYTES")
    return [orjson.loads(element) for element in tensor.elements()]


def test_each_text_gets_all_labels_the_likeliest_first(loaded: Loaded) -> None:
    answer = loaded.answer(ask("a good film", "bad", ""))
    good, bad, empty = rows(answer)
    high, low = np.exp(2) / (np.exp(2) + 2), 1 / (np.exp(2) + 2)
    assert [entry["label"] for entry in good] == ["positive", "negative", "neutral"]
    assert [entry["score"] for entry in good] == pytest.approx([high, low, low])
    assert [entry["label"] for entry in bad] == ["negative", "neutral", "positive"]
    assert [entry["score"] for entry in empty] == pytest.approx([1 / 3] * 3)
    assert answer.parameters == {"prompt_tokens": 5 + 3 + 2}


def test_a_text_s_answer_is_bit_equal_alone_and_in_a_batch(loaded: Loaded) -> None:
    texts = ["a good film", "bad", "great great great and not bad at all", ""]
    together = loaded.answer(ask(*texts)).outputs[0].elements()
    assert together == [loaded.answer(ask(text)).outputs[0].elements()[0] for text in texts]


def test_top_k_keeps_that_many(loaded: Loaded) -> None:
    assert [[entry["label"] for entry in row] for row in rows(loaded.answer(ask("good", "bad", top_k=1)))] == [
        ["positive"],
        ["negative"],
    ]
    assert len(rows(loaded.answer(ask("good", top_k=99)))[0]) == 3


@pytest.mark.parametrize("top_k", [0, -1, 1.5, "2", True])
def test_a_top_k_that_is_no_count_is_refused(loaded: Loaded, top_k: object) -> None:
    with pytest.raises(InvalidInput, match="'top_k' must be an integer of 1 or more"):
        loaded.task.prepare(ask("good", top_k=top_k))


def test_sigmoid_scores_each_label_by_itself(folder: Path) -> None:
    loaded = Loaded(text_manifest("text-classification", ROWS, labels=LABELS, activation="sigmoid"), folder)
    (row,) = rows(loaded.answer(ask("good bad")))
    assert [(entry["label"], entry["score"]) for entry in row] == [
        ("negative", pytest.approx(1 / (1 + np.exp(-2)))),
        ("positive", pytest.approx(1 / (1 + np.exp(-2)))),
        ("neutral", 0.5),
    ]


def test_a_row_that_came_out_as_nan_fails_its_own_request_and_no_other(loaded: Loaded) -> None:
    fine, broken = ask("good"), ask("broken")
    items = [*loaded.task.prepare(fine), *loaded.task.prepare(broken)]
    results = loaded.batch(items)
    assert loaded.task.respond(fine, items[:1], results[:1]) == loaded.answer(fine)
    with pytest.raises(EngineFailed, match="NaN"):
        loaded.task.respond(broken, items[1:], results[1:])


def test_labels_are_numbered_where_the_manifest_has_none(folder: Path) -> None:
    loaded = Loaded(text_manifest("text-classification", ROWS), folder)
    assert rows(loaded.answer(ask("good", top_k=1)))[0][0]["label"] == "LABEL_2"


def test_as_many_labels_as_the_graph_has_classes_or_the_model_does_not_load(folder: Path) -> None:
    with pytest.raises(EngineError, match="names 2 classes, the graph has 3"):
        Loaded(text_manifest("text-classification", ROWS, labels=LABELS[:2]), folder)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_huge_logits_do_not_overflow(activation: str) -> None:
    with np.errstate(all="raise", under="ignore"):
        result = scores(np.array([[-1e4, 0, 1e4]], np.float32), activation)  # type: ignore[arg-type]
    np.testing.assert_allclose(result, [[0, 0 if activation == "softmax" else 0.5, 1]])
