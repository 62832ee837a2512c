from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from model_service.engines.base import EngineError
from model_service.tasks.token_classification import Token, group_entities
from tests.unit.model_service.graphs import save_token_table
from tests.unit.model_service.texts import Loaded, ask, copy_tokenizer, text_manifest, token_id
from wire.errors import InvalidInput
from wire.tasks.token_classification import CONTRACT

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TAGS = {"mary": "B-PER", "smith": "I-PER", "new": "B-LOC", "york": "I-LOC", "paris": "B-LOC", "[SEP]": "B-LOC"}
ROWS = ("entities", "BYTES", [-1])
LOGIT = 3.0
SCORE = np.exp(LOGIT) / (np.exp(LOGIT) + len(LABELS) - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that knows some names by heart, and takes the end of a text for a place, as real ones do."""
    folder = tmp_path_factory.mktemp("tokens")
    tokenizer = copy_tokenizer(folder)
    size = tokenizer.get_vocab_size()
    table = {token: [LOGIT * (label == "O") for label in LABELS] for token in range(size)}
    for word, tag in TAGS.items():
        table[token_id(tokenizer, word)] = [LOGIT * (label == tag) for label in LABELS]
    save_token_table(folder / "model.onnx", table, size, pooled=False)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return Loaded(text_manifest("token-classification", ROWS, labels=LABELS), folder)


def entities(loaded: Loaded, *texts: str, **parameters: str) -> list[list[dict[str, Any]]]:
    (tensor,) = loaded.answer(ask(*texts, **parameters)).outputs
    assert (tensor.name, tensor.datatype) == ("entities", "BYTES")
    return [orjson.loads(element) for element in tensor.elements()]


def spelled(text: str, *labels: str) -> list[tuple[str, str]]:
    """Entities of a text of one-letter words, by kind and word."""
    tokens = [Token(label, 0.5, index, 2 * index, 2 * index + 1) for index, label in enumerate(labels)]
    return [(entity["entity_group"], entity["word"]) for entity in group_entities(text, tokens)]


def test_the_tokens_of_an_entity_are_put_together_with_their_mean_score(loaded: Loaded) -> None:
    assert entities(loaded, "Mary Smith left New York for Paris") == [
        [
            {"entity_group": "PER", "score": pytest.approx(SCORE), "word": "Mary Smith", "start": 0, "end": 10},
            {"entity_group": "LOC", "score": pytest.approx(SCORE), "word": "New York", "start": 16, "end": 24},
            {"entity_group": "LOC", "score": pytest.approx(SCORE), "word": "Paris", "start": 29, "end": 34},
        ]
    ]


def test_places_count_characters_of_the_text_as_it_came(loaded: Loaded) -> None:
    text = "😀 É 東 in \u00a0 PARIS, NEW  YORK"
    (found,) = entities(loaded, text)
    assert [entity["word"] for entity in found] == ["PARIS", "NEW  YORK"]
    assert [text[entity["start"] : entity["end"]] for entity in found] == ["PARIS", "NEW  YORK"]


def test_without_aggregation_each_token_stands_for_itself(loaded: Loaded) -> None:
    assert entities(loaded, "in New York", aggregation_strategy="none") == [
        [
            {"entity": "B-LOC", "score": pytest.approx(SCORE), "index": 2, "word": "New", "start": 3, "end": 6},
            {"entity": "I-LOC", "score": pytest.approx(SCORE), "index": 3, "word": "York", "start": 7, "end": 11},
        ]
    ]


def test_special_tokens_are_nothing_in_the_text(loaded: Loaded) -> None:
    assert entities(loaded, "", "nothing", aggregation_strategy="none") == [[], []]


def test_a_text_s_answer_is_bit_equal_alone_and_in_a_batch(loaded: Loaded) -> None:
    texts = ["Paris", "Mary Smith of New York went home by way of Paris", "", "no one"]
    together = loaded.answer(ask(*texts)).outputs[0].elements()
    assert together == [loaded.answer(ask(text)).outputs[0].elements()[0] for text in texts]


def test_a_text_that_names_nothing_is_answered_as_the_contract_says(loaded: Loaded) -> None:
    (tensor,) = loaded.answer(ask("the water")).outputs
    assert tensor.elements() == [CONTRACT.empty]


def test_an_unknown_aggregation_is_refused(loaded: Loaded) -> None:
    with pytest.raises(InvalidInput, match="must be 'simple' or 'none', not 'max'"):
        loaded.task.prepare(ask("x", aggregation_strategy="max"))


def test_as_many_labels_as_the_graph_has_classes_or_the_model_does_not_load(folder: Path) -> None:
    with pytest.raises(EngineError, match="names 4 classes, the graph has 5"):
        Loaded(text_manifest("token-classification", ROWS, labels=LABELS[:4]), folder)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["B-X", "I-X", "I-X"], [("X", "a b c")]),
        (["B-X", "B-X", "I-X"], [("X", "a"), ("X", "b c")]),
        (["I-X", "I-X", "O"], [("X", "a b")]),
        (["I-X", "I-Y", "I-Y"], [("X", "a"), ("Y", "b c")]),
        (["B-X", "O", "I-X"], [("X", "a"), ("X", "c")]),
        (["S-X", "S-X", "S-X"], [("X", "a"), ("X", "b"), ("X", "c")]),
        (["B-X", "E-X", "I-X"], [("X", "a b"), ("X", "c")]),
        (["X", "X", "Y"], [("X", "a b"), ("Y", "c")]),
        (["B-X-1", "I-X-1", "O"], [("X-1", "a b")]),
        (["O", "O", "O"], []),
    ],
)
def test_bio_and_bioes_spell_entities(labels: list[str], expected: list[tuple[str, str]]) -> None:
    assert spelled("a b c", *labels) == expected


def test_the_score_is_the_mean() -> None:
    tokens = [Token("B-X", 0.9, 0, 0, 1), Token("I-X", 0.5, 1, 2, 3)]
    assert group_entities("a b", tokens)[0]["score"] == pytest.approx(0.7)
