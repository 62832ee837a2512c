"""Figures for texts that a model wrote."""

import math

import pytest
from datasets import Dataset
from sacrebleu.metrics import BLEU, CHRF

from training.evaluate.run import details
from training.tasks.generated import measure_texts, signatures, tokenizer_of
from training.tasks.language import Guessed, measure_guesses

ENGLISH = ["The water runs from the gate to the turbines.", "A headrace leads water."]
# The comma between Chinese clauses, which looks like ours.
CHINESE = ["这家酒店的服务很好\uff0c房间也干净。", "我不会再来了\uff0c太吵。"]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE, ["これは水車です。", "水が流れます。"]])
def test_what_is_right_word_for_word_scores_everything(texts):
    assert measure_texts(texts, texts) == pytest.approx(dict.fromkeys(("bleu", "chrf", *ROUGES), 100.0))


def test_chinese_that_is_nearly_right_scores_between_nothing_and_everything():
    near = ["这家酒店的服务不好\uff0c房间也干净。", "我不会再来了\uff0c太贵。"]
    scores = measure_texts(near, CHINESE)
    assert all(30 < score < 100 for score in scores.values())
    wrong = measure_texts(["水从闸门流向涡轮", "今天"], CHINESE)
    assert all(wrong[name] < scores[name] for name in scores)


def test_a_figure_known_from_counting():
    scores = measure_texts(["the cat sat"], ["the cat stood"])
    assert scores["rouge1"] == pytest.approx(100 * 2 / 3)
    assert scores["rouge2"] == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("texts", "tokenizer"), [(ENGLISH, "13a"), (CHINESE, "zh"), (["これは水車です。"], "char"), (["A 好 film"], "13a")]
)
def test_texts_are_cut_as_their_language_wants(texts, tokenizer):
    assert tokenizer_of(texts) == tokenizer


@pytest.mark.parametrize(("texts", "tokenizer"), [(ENGLISH, "13a"), (CHINESE, "zh")])
def test_texts_counted_one_by_one_add_up_to_what_sacrebleu_says_of_the_corpus(texts, tokenizer):
    near = [text.replace("a", "e").replace("好", "大") for text in texts]
    scores = measure_texts(near, texts)
    assert scores["bleu"] == pytest.approx(BLEU(tokenize=tokenizer).corpus_score(near, [texts]).score)
    assert scores["chrf"] == pytest.approx(CHRF().corpus_score(near, [texts]).score)


def test_signatures_say_how_texts_were_cut_and_by_which_version():
    told = signatures(CHINESE, CHINESE)
    assert "tok:zh" in told["bleu"]
    assert "version:" in told["chrf"]
    assert "characters of Chinese" in told["rouge"]


@pytest.mark.parametrize("column", ["target", "caption"])
def test_whatever_texts_are_held_against_their_signatures_are_told(column):
    rows = Dataset.from_list([{column: text} for text in ENGLISH])
    assert details(ENGLISH, rows, 10) == {"signatures": signatures(ENGLISH, ENGLISH)}


def test_perplexity_is_of_tokens_not_of_texts():
    certain = measure_guesses([Guessed(0.0, 10, 10)])
    assert certain == {"perplexity": 1.0, "loss": 0.0, "token_accuracy": 1.0}
    # Uniform over 50 tokens, in texts of 1 and of 9.
    uniform = measure_guesses([Guessed(math.log(50), 1, 1), Guessed(9 * math.log(50), 9, 0)])
    assert uniform["perplexity"] == pytest.approx(50.0)
    assert uniform["token_accuracy"] == pytest.approx(0.1)


ROUGES = ("rouge1", "rouge2", "rougeL")
