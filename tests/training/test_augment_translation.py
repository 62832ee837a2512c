"""Back translation through Marian models: real ones in every part, small enough to be taught a few sentences here."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import sentencepiece
import torch
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

from tests.training.test_augment import Augmented, recipe
from training.augment.pivot import pivot
from training.recipe.augment import TextParams
from training.recipe.block import RecipeError

torch.set_num_threads(1)
ENGLISH = [
    "The film is a wonder.", "I lost my evening.", "The actors are very good.", "Nothing works in this story.",
    "The music stays with you.", "A long and boring book.", "My children loved it.", "The ending is a surprise.",
]  # fmt: skip
FRENCH = [
    "Ce film est une merveille.", "J'ai perdu ma soirée.", "Les acteurs sont très bons.",
    "Rien ne va dans cette histoire.",
    "La musique reste en tête.", "Un livre long et ennuyeux.", "Mes enfants l'ont adoré.", "La fin est une surprise.",
]  # fmt: skip
AGAIN = [
    "This film is a marvel.", "My evening was wasted.", "The actors are excellent.", "Nothing is right in this story.",
    "The music stays in your head.", "A book both long and dull.", "My kids adored it.", "The end is a surprise.",
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """To French as it is said, and back in words that differ from those before."""
    folder = tmp_path_factory.mktemp("marian")
    taught(folder / "en-fr", ENGLISH, FRENCH)
    taught(folder / "fr-en", FRENCH, AGAIN)
    return {name: str(folder / name) for name in ("en-fr", "fr-en")}


def taught(folder: Path, source: Sequence[str], target: Sequence[str]) -> None:
    """A Marian folder as they are on the hub, which translates these sentences."""
    folder.mkdir()
    tokenizer = tokens_of(folder, source, target)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = MarianMTModel(
            MarianConfig(
                vocab_size=len(tokenizer), d_model=64, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
                decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, dropout=0.0,
                pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
                decoder_start_token_id=tokenizer.pad_token_id, max_position_embeddings=64,
            )
        )  # fmt: skip
    batch = tokenizer(list(source), text_target=list(target), padding=True, return_tensors="pt")
    labels = batch.pop("labels")
    labels[labels == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    model.generation_config.bad_words_ids = [[tokenizer.pad_token_id]]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tokens_of(folder: Path, source: Sequence[str], target: Sequence[str]) -> MarianTokenizer:
    vocabulary = {"</s>": 0, "<unk>": 1}
    for name, texts in (("source", source), ("target", target)):
        lines = folder / f"{name}.txt"
        lines.write_text("\n".join(texts))
        sentencepiece.SentencePieceTrainer.train(
            input=str(lines), model_prefix=str(folder / name), vocab_size=100, hard_vocab_limit=False,
            minloglevel=2,
        )  # fmt: skip
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.model"))
        for number in range(len(pieces)):
            vocabulary.setdefault(pieces.id_to_piece(number), len(vocabulary))
    vocabulary["<pad>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return MarianTokenizer(
        str(folder / "source.model"), str(folder / "target.model"), str(folder / "vocab.json"),
        source_lang="en", target_lang="fr",
    )  # fmt: skip


def test_a_text_goes_to_the_other_language_and_comes_back_in_other_words(
    tmp_path: Path, models: dict[str, str]
) -> None:
    rows = [{"text": text, "label": str(at)} for at, text in enumerate(ENGLISH)]
    params = {"target_lang": "en", "models": models, "language": "en", "batch_size": 3}
    block = {"methods": ["back_translation"], "params": params}
    found = Augmented(tmp_path, rows, recipe(tmp_path, text_augment=block))
    assert found.rows[: len(rows)] == rows
    assert found.added == [{"text": text, "label": str(at)} for at, text in enumerate(AGAIN)]
    assert found.outcome["text"]["back_translation"]["made"] == len(AGAIN)


def test_a_text_that_comes_back_as_it_went_is_not_added(tmp_path: Path, models: dict[str, str]) -> None:
    rows = [{"text": ENGLISH[0], "label": "a"}, {"text": AGAIN[0], "label": "a"}]
    # From French the model leads to the words of AGAIN; to it, from the same sentences in French.
    params = {"models": {"fr-en": models["fr-en"], "en-fr": models["en-fr"]}, "language": "en", "copies": 2}
    block = {"methods": ["back_translation"], "params": params}
    found = Augmented(tmp_path, rows[:1], recipe(tmp_path, text_augment=block))
    texts = [row["text"] for row in found.rows]
    assert texts[:2] == [ENGLISH[0], AGAIN[0]]
    assert len(set(texts)) == len(texts) <= 3


@pytest.mark.parametrize(
    ("language", "target", "directions", "by"),
    [
        ("zh", "en", ["zh-en", "en-zh"], "en"),
        ("en", "en", ["en-fr", "fr-en"], "fr"),  # there and back: the models say where
        ("en", "de", ["en-fr", "fr-en", "en-de", "de-en"], "de"),
        ("en", "en", ["en-de", "en-fr", "fr-en"], "fr"),
    ],
)
def test_the_way_is_by_the_target_or_by_what_the_models_lead_to(
    language: str, target: str, directions: list[str], by: str
) -> None:
    assert pivot(language, TextParams(target_lang=target, models=dict.fromkeys(directions, "m"))) == by


@pytest.mark.parametrize("directions", [[], ["en-fr"], ["fr-en"], ["de-fr", "fr-de"]])
def test_no_way_there_and_back_is_an_error_that_says_what_to_give(directions: list[str]) -> None:
    with pytest.raises(RecipeError, match=re.escape("models: {en-fr: Helsinki-NLP/opus-mt-en-fr, fr-en: ")):
        pivot("en", TextParams(target_lang="en", models=dict.fromkeys(directions, "m")))
