"""Augmentation over real texts and real photographs."""

import io
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset, DatasetDict, Features, Image, Value, load_from_disk
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image as Pillow
from safetensors.numpy import save_file
from sklearn.datasets import load_digits, load_sample_images

from tests.training.clean_stage import chinese, english
from training.augment.chinese import Chinese
from training.augment.english import English
from training.augment.run import run
from training.augment.wordnet import DEBIAN
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe, load
from training.report.sections.augment import section
from training.stage import ROWS, Work

SEED_TEXT = {
    "methods": ["synonym_replacement", "back_translation"],
    "params": {"synonym_ratio": 0.3, "target_lang": "en"},
}
SEED_IMAGE = {"methods": ["random_crop", "color_jitter"], "params": {"crop_size": [224, 224], "brightness": 0.2}}
PICTURES = Features(image=Image(), label=Value("string"))


def recipe(folder: Path, task: str = "text-classification", seed: int = 7, **augment: Any) -> Recipe:
    whole = {
        "name": "tried", "task": task, "seed": seed, "model": {"base": "none"}, "datasets": [{"path": "none"}],
        "augment": augment,
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole))
    return load(path)


class Augmented:
    """What a run of the stage left."""

    def __init__(
        self, folder: Path, rows: Sequence[dict[str, Any]], recipe: Recipe, features: Features | None = None
    ) -> None:
        train = Dataset.from_list(list(rows), features)
        data, own = folder / "data", folder / "augment"
        DatasetDict(train=train, validation=train.select([]), test=train.select([0])).save_to_disk(
            str(data / ROWS), num_shards=dict.fromkeys(("train", "validation", "test"), 1)
        )
        own.mkdir(exist_ok=True)
        self.outcome = run(Work(recipe, own, {"data": data}, {}, lambda line: None))
        self.splits = load_from_disk(str(own / ROWS))
        self.rows: list[dict[str, Any]] = self.splits["train"].to_list()
        self.added = self.rows[len(rows) :]


@pytest.fixture(scope="session")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of WordNet's database: Debian's, unpacked where it is not installed."""
    if DEBIAN.is_dir():
        return str(DEBIAN)
    folder = tmp_path_factory.mktemp("wordnet")
    subprocess.run(["apt-get", "download", "wordnet-base"], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return str(folder / "usr" / "share" / "wordnet")


def reviews(count: int) -> list[dict[str, Any]]:
    return [{"text": text, "label": "a"} for text in english("movieReviewSnippets")[:count]]


def test_the_blocks_of_the_documentation_are_read_key_for_key(tmp_path: Path) -> None:
    read = recipe(tmp_path, text_augment=SEED_TEXT, image_augment=SEED_IMAGE).augment
    assert read is not None
    assert read.text_augment is not None
    assert read.image_augment is not None
    assert read.text_augment.methods == ("synonym_replacement", "back_translation")
    assert (read.text_augment.params.synonym_ratio, read.text_augment.params.target_lang) == (0.3, "en")
    assert read.image_augment.methods == ("random_crop", "color_jitter")
    assert (read.image_augment.params.crop_size, read.image_augment.params.brightness) == ((224, 224), 0.2)


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        ({"text_augment": {"methods": ["synonym_replacment"]}}, "did you mean synonym_replacement?"),
        ({"image_augment": {"methods": ["colour_jitter"]}}, "did you mean color_jitter?"),
        ({"image_augment": {"methods": ["random_crop", "random_crop"]}}, "each may be named once"),
        ({"text_augment": {"methods": ["back_translation"], "params": {"target_language": "en"}}}, "mean target_lang?"),
        ({"image_augment": {"methods": ["random_crop"], "params": {"crop": [8, 8]}}}, "did you mean crop_size?"),
        ({"audio_augment": {}}, "did you mean "),
    ],
)
def test_an_unknown_method_or_parameter_is_answered_with_the_nearest(
    tmp_path: Path, augment: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(tmp_path, **augment)
    assert said in str(caught.value)


def test_english_words_are_replaced_by_synonyms_of_wordnet(tmp_path: Path, wordnet: str) -> None:
    rows = reviews(60)
    block = {"methods": ["synonym_replacement"], "params": {"synonym_ratio": 0.3, "wordnet": wordnet}}
    found = Augmented(tmp_path, rows, recipe(tmp_path, text_augment=block))
    assert found.rows[: len(rows)] == rows
    assert len(found.added) > 50
    thesaurus = English(Path(wordnet))
    known = {row["text"]: row for row in rows}
    for example in found.outcome["text"]["synonym_replacement"]["examples"]:
        assert example["before"] in known
    originals = [row["text"] for row in rows if any(map(thesaurus.synonyms, thesaurus.pieces(row["text"])))]
    for original, copy in zip(originals, (row["text"] for row in found.added), strict=True):
        replaced = changes(thesaurus, original, copy)
        words = sum(map(thesaurus.is_word, thesaurus.pieces(original)))
        assert 1 <= len(replaced) <= max(1, round(0.3 * words))
    assert found.outcome["text"]["language"] == "en"
    assert str(len(found.added)) in str(section({"augment": found.outcome}))


def changes(thesaurus: English, before: str, after: str) -> list[str]:
    """The words that were replaced; each by a synonym of its own, with nothing else touched."""
    pattern, replaced = "", []
    for piece in thesaurus.pieces(before):
        choices = [piece, *thesaurus.synonyms(piece)]
        pattern += f"({'|'.join(map(re.escape, sorted(choices, key=len, reverse=True)))})"
    match = re.fullmatch(pattern, after)
    assert match is not None, (before, after)
    for piece, found in zip(thesaurus.pieces(before), match.groups(), strict=True):
        if piece != found:
            replaced.append(piece)
    return replaced


@pytest.mark.parametrize("word", ["the", "not", "Paris", "GOOD", "qwxzy", "3"])
def test_what_has_no_safe_synonym_is_left(wordnet: str, word: str) -> None:
    assert English(Path(wordnet)).synonyms(word) == ()


def test_a_higher_ratio_replaces_more_words(wordnet: str) -> None:
    thesaurus = English(Path(wordnet))
    texts = [row["text"] for row in reviews(60)]
    counts = [
        [len(changes(thesaurus, text, thesaurus.replace(text, ratio, Random(7)))) for text in texts]
        for ratio in (0.01, 0.3, 1.0)
    ]
    there = [sum(bool(thesaurus.synonyms(piece)) for piece in thesaurus.pieces(text)) for text in texts]
    assert counts[0] == [min(1, count) for count in there]
    assert sum(counts[0]) < sum(counts[1]) < sum(counts[2])
    assert counts[2] == there


def test_chinese_words_are_replaced_by_synonyms_of_cilin(tmp_path: Path) -> None:
    rows = list(chinese()[:80])
    block = {"methods": ["synonym_replacement"], "params": {"synonym_ratio": 0.2}}
    found = Augmented(tmp_path, rows, recipe(tmp_path, text_augment=block))
    assert found.outcome["text"]["language"] == "zh"
    assert len(found.added) > 70
    thesaurus = Chinese()
    assert "高兴" not in thesaurus.synonyms("高兴")
    example = found.outcome["text"]["synonym_replacement"]["examples"][0]
    before = thesaurus.pieces(example["before"])
    swaps = [(piece, other) for piece in before for other in thesaurus.synonyms(piece)]
    assert any(other in example["after"] and other not in example["before"] for _, other in swaps)


def test_copies_are_new_rows_or_take_the_place_of_the_old(tmp_path: Path, wordnet: str) -> None:
    rows = reviews(10)
    params = {"wordnet": wordnet, "copies": 3, "synonym_ratio": 0.5}
    block = {"methods": ["synonym_replacement"], "params": params}
    joined = Augmented(tmp_path, rows, recipe(tmp_path, text_augment=block))
    assert joined.rows[:10] == rows
    assert 10 < len(joined.added) <= 30
    assert len({row["text"] for row in joined.rows}) == len(joined.rows)  # no copy is there twice
    (tmp_path / "instead").mkdir()
    block["params"] = {**params, "replace": True}
    instead = Augmented(tmp_path / "instead", rows, recipe(tmp_path, text_augment=block))
    changed = len(rows) - joined.outcome["text"]["synonym_replacement"]["unchanged_rows"]
    assert len(instead.rows) == len(joined.rows) - changed
    assert instead.splits["test"].to_list() == rows[:1]  # what judges is not touched
    assert len(instead.splits["validation"]) == 0


def test_the_seed_decides(tmp_path: Path, wordnet: str) -> None:
    block = {"methods": ["synonym_replacement"], "params": {"wordnet": wordnet}}
    texts = []
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        (tmp_path / name).mkdir()
        found = Augmented(tmp_path / name, reviews(20), recipe(tmp_path / name, seed=seed, text_augment=block))
        texts.append([row["text"] for row in found.rows])
    assert texts[0] == texts[1] != texts[2]


FRENCH = ["Ce film est une merveille, je le recommande à tous.", "Quelle perte de temps, rien ne va dans ce film."]


@pytest.mark.parametrize("method", ["synonym_replacement", "back_translation"])
def test_a_method_without_an_engine_for_the_language_is_an_error(tmp_path: Path, method: str) -> None:
    rows = [{"text": text, "label": "a"} for text in FRENCH]
    with pytest.raises(RecipeError) as caught:
        Augmented(tmp_path, rows, recipe(tmp_path, text_augment={"methods": [method]}))
    said = str(caught.value)
    assert method in said
    if method == "back_translation":
        assert "models: {fr-en: Helsinki-NLP/opus-mt-fr-en, en-fr: Helsinki-NLP/opus-mt-en-fr}" in said
    else:
        assert "no thesaurus for 'fr'" in said


def test_an_engine_that_a_named_language_lacks_is_missed_before_anything_runs(tmp_path: Path) -> None:
    from training.augment.check import check

    (tmp_path / "config.json").write_text("{}")
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    params = {"language": "de", "models": {"de-en": str(tmp_path)}}
    with pytest.raises(RecipeError, match="en-de: Helsinki-NLP/opus-mt-en-de"):
        check(recipe(tmp_path, text_augment={"methods": ["back_translation"], "params": params}))


@pytest.mark.parametrize(
    ("task", "augment", "said"),
    [
        ("token-classification", {"text_augment": {"methods": ["synonym_replacement"]}}, "may be rewritten"),
        ("text-classification", {"image_augment": {"methods": ["random_crop"]}}, "the rows have no images"),
        ("text-classification", {"text_augment": {"methods": ["back_translation"],
         "params": {"models": {"en-fr": "./none"}}}}, "is not a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_augmented_is_said_before_anything_runs(
    tmp_path: Path, task: str, augment: dict[str, Any], said: str
) -> None:
    from training.augment.check import check

    with pytest.raises(RecipeError, match=said):
        check(recipe(tmp_path, task, **augment))


def test_of_a_block_for_both_rows_with_one_of_them_have_their_part_done(tmp_path: Path, wordnet: str) -> None:
    from training.augment.check import check

    texts = {"methods": ["synonym_replacement"], "params": {"language": "en", "wordnet": wordnet}}
    lights = {"methods": ["color_jitter"], "params": {"brightness": 0.2}}
    for task, rows, features, made, left in (
        ("text-classification", reviews(3), None, "text", "image_augment"),
        ("image-classification", photographs(), PICTURES, "image", "text_augment"),
    ):
        (tmp_path / task).mkdir()
        both = recipe(tmp_path / task, task, text_augment=texts, image_augment=lights)
        check(both)
        done = Augmented(tmp_path / task, rows, both, features)
        assert made in done.outcome
        assert done.added
        assert done.outcome["left_out"] == left
        told = section({"augment": done.outcome})
        assert told is not None
        assert any(left in getattr(part, "text", "") for part in told.parts)


def test_rows_with_neither_texts_nor_images_are_refused_before_anything_runs(tmp_path: Path) -> None:
    from training.augment.check import check

    with pytest.raises(RecipeError, match="may be rewritten"):
        check(recipe(tmp_path, "forecasting", text_augment=SEED_TEXT, image_augment=SEED_IMAGE))


def photographs() -> list[dict[str, Any]]:
    """427 x 640 pixels each."""
    return [
        {"image": {"path": None, "bytes": png(Pillow.fromarray(pixels))}, "label": str(at)}
        for at, pixels in enumerate(load_sample_images().images)
    ]


def png(image: Pillow.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def pixels(row: dict[str, Any]) -> Any:
    return np.asarray(Pillow.open(io.BytesIO(row["image"]["bytes"])))


def images(folder: Path, rows: list[dict[str, Any]], block: dict[str, Any], seed: int = 7) -> Augmented:
    folder.mkdir(exist_ok=True)
    return Augmented(folder, rows, recipe(folder, "image-classification", seed, image_augment=block), PICTURES)


def test_a_random_crop_is_a_window_of_the_photograph(tmp_path: Path) -> None:
    rows = photographs()
    found = images(tmp_path, rows, {"methods": ["random_crop"], "params": {"crop_size": [64, 96], "copies": 2}})
    assert found.rows[:2] == rows
    assert [row["label"] for row in found.added] == ["0", "0", "1", "1"]
    for at, row in enumerate(found.added):
        crop, whole = pixels(row).astype(int), pixels(rows[at // 2]).astype(int)
        assert crop.shape == (64, 96, 3)
        corners = np.argwhere((np.abs(sliding_window_view(whole[..., 0], 96, 1) - crop[0, :, 0]) <= 1).all(-1))
        windows = (whole[top : top + 64, left : left + 96] for top, left in corners)
        assert any(window.shape == crop.shape and np.abs(window - crop).max() <= 1 for window in windows)
    assert len({row["image"]["bytes"] for row in found.added}) == 4


def test_color_jitter_changes_the_light_as_far_as_it_may_and_not_the_frame(tmp_path: Path) -> None:
    rows = photographs()
    found = images(tmp_path, rows, {"methods": ["color_jitter"], "params": {"brightness": 0.2, "copies": 5}})
    shifts = []
    for at, row in enumerate(found.added):
        before, after = pixels(rows[at // 5]).astype(float), pixels(row).astype(float)
        assert before.shape == after.shape
        unclipped = (after > 0) & (after < 255)
        shifts.append(np.mean((after - before)[unclipped]) / 255)
        assert np.abs(after - before).max() <= 0.2 * 255 + 1
    assert max(shifts) > 0.02
    assert min(shifts) < -0.02


def test_the_block_of_the_documentation_makes_images_of_its_size(tmp_path: Path) -> None:
    found = images(tmp_path, photographs(), SEED_IMAGE)
    assert [pixels(row).shape for row in found.added] == [(224, 224, 3)] * 2
    assert found.outcome["image"] == {"methods": ["random_crop", "color_jitter"], "made": 2}
    assert "random_crop, color_jitter" in str(section({"augment": found.outcome}))
    assert found.splits["train"].features == PICTURES


def test_small_gray_images_are_enlarged_to_the_frame_and_stay_gray(tmp_path: Path) -> None:
    digits = [
        {"image": {"path": None, "bytes": png(Pillow.fromarray((image * 15).astype("uint8")))}, "label": str(label)}
        for image, label in zip(load_digits().images[:3], load_digits().target[:3], strict=True)
    ]
    found = images(tmp_path, digits, {"methods": ["random_crop"], "params": {"crop_size": [12, 10]}})
    assert [pixels(row).shape for row in found.added] == [(12, 10)] * 3
    assert all(pixels(row).max() > 150 for row in found.added)  # the digit, not what stands around it


def test_images_can_take_the_place_of_the_old_and_the_seed_decides(tmp_path: Path) -> None:
    block = {
        "methods": ["random_crop", "color_jitter"],
        "params": {"crop_size": [64, 64], "contrast": 0.3, "replace": True},
    }
    one, two = images(tmp_path / "1", photographs(), block), images(tmp_path / "2", photographs(), block)
    other = images(tmp_path / "3", photographs(), block, seed=8)
    assert [pixels(row).shape for row in one.rows] == [(64, 64, 3)] * 2
    assert one.rows == two.rows
    assert one.rows != other.rows
    assert one.splits["test"].to_list() == photographs()[:1]


def test_a_crop_does_not_move_what_boxes_point_at(tmp_path: Path) -> None:
    from training.augment.image import check_columns

    block = recipe(tmp_path, image_augment={"methods": ["random_crop"]}).augment
    assert block is not None
    assert block.image_augment is not None
    with pytest.raises(RecipeError, match="boxes"):
        check_columns(["image", "boxes"], block.image_augment)
