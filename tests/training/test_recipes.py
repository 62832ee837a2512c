"""The recipes that come with the project: what they are made of is there, and what they are compared with is right."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from transformers import BertConfig, BertModel, BertTokenizerFast

from tests.training.cases import split
from tests.training.train_stage import rows
from training.clean.sample import read_sample
from training.recipe.recipe import Recipe, load
from training.recipes import chinese_reviews, conversations
from training.recipes.baseline import baselines
from training.templates import images, texts
from training.train.check import check

FOLDER = Path(chinese_reviews.__file__).parent
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_libraries_take_every_key_of_a_recipe(name: str, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"好房间很干净书也不错"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    made = tmp_path / "made" / "chinese-reviews"  # which a command makes, in minutes
    for folder in ("tokenizer", "encoder"):
        BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(made / folder)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(made / "encoder")
    shutil.copy(FOLDER / name, tmp_path)
    check(load(tmp_path / name))


def test_recipes_are_models_of_their_own_and_told_of_in_the_folders_readme() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert len({load(FOLDER / name).name for name in NAMES}) == len(NAMES)
    assert [name for name in NAMES if name not in readme] == []


def test_the_marks_are_of_reviews_that_the_package_holds(tmp_path: Path) -> None:
    chinese_reviews.write_sample(tmp_path / "quality.csv")
    texts, marks = read_sample(tmp_path / "quality.csv")
    assert len(set(texts)) == len(texts) == 260
    assert sum(marks) == 203
    # What a hotel answered says nothing of its guest's opinion.
    assert {mark for text, mark in zip(texts, marks, strict=True) if text.startswith("宾馆反馈")} == {0}


def test_each_topic_has_answers_to_questions() -> None:
    for topic in conversations.TOPICS:
        for row in conversations.pairs(topic):
            assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
            assert all(message["content"] for message in row["messages"])
    assert sum(len(conversations.pairs(topic)) for topic in conversations.TOPICS) > 1500


def test_the_majority_is_right_as_often_as_its_label_is_there_and_a_regression_more_often() -> None:
    few = rows(240, 120)
    few = DatasetDict({name: part.filter(lambda row: row["label"] in ("tweet", "goods")) for name, part in few.items()})
    found = baselines(_recipe("text-classification"), few)
    labels = few["test"]["label"][:]
    majority = found["majority"]["accuracy"]
    assert majority["value"] in {labels.count(label) / len(labels) for label in set(labels)}
    assert majority["low"] <= majority["value"] <= majority["high"]
    assert found["logistic regression"]["accuracy"]["value"] > majority["value"]


def test_a_regression_on_pixels_reads_digits() -> None:
    few = split(images.digits(600), 100)
    found = baselines(_recipe("image-classification"), few)
    assert found["logistic regression"]["accuracy"]["value"] > 0.85
    assert found["majority"]["accuracy"]["value"] < 0.3


def test_a_language_model_is_compared_with_its_base() -> None:
    model = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
             "num_attention_heads": 2, "vocab_size": 30522, "bos_token_id": 101, "eos_token_id": 102}  # fmt: skip
    block = {"config": model, "tokenizer": chinese_reviews.MINILM, "max_length": 32}
    few = DatasetDict(dict.fromkeys(("train", "test"), Dataset.from_list(texts.plain(8))))
    found = baselines(_recipe("causal-lm", model=block), few)
    # One that has learnt nothing takes every token for nearly as likely.
    assert 15_000 < found["base"]["perplexity"]["value"] < 60_000


def _recipe(task: str, **blocks: Any) -> Recipe:
    given = {"name": "tried", "task": task, "model": {"base": "none"}, "datasets": [{"path": "none"}], **blocks}
    return Recipe.model_validate({**given, "evaluate": {"resamples": 50}})
