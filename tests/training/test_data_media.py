"""Rows with boxes, masks and transcripts come out of files as the tasks for them want them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from datasets import load_from_disk

from training.data.run import DROPPED, run
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.stage import ROWS, Work
from training.templates import images, sounds

pytestmark = pytest.mark.filterwarnings("default")


def written(folder: Path, rows: list[dict[str, Any]], column: str) -> None:
    """A folder of sheets, with their metadata."""
    (folder / "sheets").mkdir()
    lines = []
    for index, row in enumerate(rows):
        row["image"].save(folder / "sheets" / f"{index}.png")
        lines.append(json.dumps({"file_name": f"{index}.png", column: row[column]}))
    (folder / "sheets" / "metadata.jsonl").write_text("\n".join(lines))


def gathered(folder: Path, task: str, **block: Any) -> Any:
    model = {"config": {"model_type": "none"}}
    recipe = Recipe.model_validate(
        {"name": "r", "task": task, "model": model, "datasets": [{"path": "sheets", **block}]}
    )
    recipe._folder = folder
    (folder / "data").mkdir()
    run(Work(recipe, folder / "data", {}, {}, print))
    return load_from_disk(str(folder / "data" / ROWS))


def test_a_folder_of_images_has_boxes_where_its_metadata_have(tmp_path: Path) -> None:
    rows = images.boxes(20)
    written(tmp_path, rows, "boxes")
    found = gathered(tmp_path, "object-detection")
    assert {name: len(split) for name, split in found.items()} == {"train": 16, "validation": 2, "test": 2}
    expected = [row["boxes"] for row in rows]
    assert all(one in expected for split in found.values() for one in split["boxes"])
    assert found["train"][0]["image"].size == (48, 48)


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ({"bbox": [[1, 2, 3, 4]]}, "an object with bbox and category is wanted"),
        ({"bbox": [[1, 2, 3, 4]], "category": ["a", "b"]}, "has 1 boxes and 2 labels"),
        ({"bbox": [[1, 2, 3]], "category": ["a"]}, r"\[x, y, width, height\] are wanted"),
        ({"bbox": [[1, 2, 0, 4]], "category": ["a"]}, r"\[x, y, width, height\] are wanted"),
    ],
)
def test_boxes_that_are_none_are_an_error(boxes: Any, words: str, tmp_path: Path) -> None:
    written(tmp_path, [{**images.boxes(1)[0], "boxes": boxes}], "boxes")
    with pytest.raises(RecipeError, match=f"row 1: boxes .*{words}"):
        gathered(tmp_path, "object-detection")


def test_an_image_may_show_nothing(tmp_path: Path) -> None:
    rows = images.boxes(12)
    written(tmp_path, [{**rows[0], "boxes": {"bbox": [], "category": []}}, *rows[1:]], "boxes")
    found = gathered(tmp_path, "object-detection")
    assert sum(not boxes["bbox"] for split in found.values() for boxes in split["boxes"]) == 1


def test_masks_lie_beside_the_images_that_they_are_for(tmp_path: Path) -> None:
    rows = images.masks(12)
    (tmp_path / "sheets" / "masks").mkdir(parents=True)
    lines = []
    for index, row in enumerate(rows):
        row["image"].save(tmp_path / "sheets" / f"{index}.png")
        row["mask"].save(tmp_path / "sheets" / "masks" / f"{index}.png")
        lines.append(json.dumps({"file_name": f"{index}.png", "mask": f"masks/{index}.png"}))
    (tmp_path / "sheets" / "metadata.jsonl").write_text("\n".join(lines))
    found = gathered(tmp_path, "image-segmentation")
    expected = [row["mask"].tobytes() for row in rows]
    assert all(mask.tobytes() in expected for split in found.values() for mask in split["mask"])
    assert (tmp_path / "data" / DROPPED).read_text() == ""


def test_a_picture_that_is_cut_short_is_dropped_with_its_place(tmp_path: Path) -> None:
    sheets = images.boxes(12)
    written(tmp_path, sheets, "boxes")
    whole = io.BytesIO()
    sheets[3]["image"].save(whole, "JPEG")
    (tmp_path / "sheets" / "3.png").write_bytes(whole.getvalue()[:-100])
    found = gathered(tmp_path, "object-detection")
    assert sum(len(split) for split in found.values()) == 11
    assert all(row["image"].size == (48, 48) for split in found.values() for row in split)
    (dropped,) = map(json.loads, (tmp_path / "data" / DROPPED).read_text().splitlines())
    assert (dropped["source"], dropped["number"], dropped["row"]["image"]) == ("sheets", 4, "3.png")
    assert (dropped["kind"], dropped["reason"].partition(" (")[0]) == (
        "unreadable",
        "image is no image that can be opened: image file is truncated",
    )


def encoded(form: str, samples: int, **how: Any) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    soundfile.write(file, noise, 16000, format=form, **how)
    return file.getvalue()


TAG = b"ID3\x04" + bytes(4) + bytes([15, 104]) + b"Info" + bytes(2020)  # its size is 15 * 128 + 104 bytes


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (encoded("WAV", 0), "it has no samples"),
        (encoded("WAV", 16000)[:-2000], "it is cut short, after 15000 samples"),
        (encoded("FLAC", 16000)[:-2000], ""),
        (encoded("MP3", 16000)[:-2000], ""),
        (TAG + encoded("MP3", 16000)[:-2000], ""),
        (encoded("OGG", 16000)[:-2000], ""),
    ],
    ids=["empty", "wav", "flac", "mp3", "tagged-mp3", "ogg"],
)
def test_a_sound_that_is_cut_short_or_empty_is_dropped_with_its_place(
    broken: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "sheets").mkdir()
    streamed = b"RIFF" + b"\xff" * 4 + encoded("WAV", 800)[8:]  # by a program that could not know its length
    for name, sound in (("a", encoded("MP3", 16000)), ("b", streamed), ("c", broken), ("d", encoded("FLAC", 800))):
        (tmp_path / "sheets" / name).write_bytes(sound)
    lines = [json.dumps({"file_name": name, "text": name}) for name in "abcd"]
    (tmp_path / "sheets" / "metadata.jsonl").write_text("\n".join(lines))
    found = gathered(tmp_path, "speech-recognition", format="audiofolder")
    assert sorted(row["text"] for split in found.values() for row in split) == ["a", "b", "d"]
    (dropped,) = map(json.loads, (tmp_path / "data" / DROPPED).read_text().splitlines())
    assert (dropped["kind"], dropped["number"], dropped["row"]["audio"]) == ("unreadable", 3, "c")
    assert dropped["reason"].startswith(f"audio is no audio that can be opened: {reason}")


def test_an_mp3_that_says_no_length_is_not_called_cut_short_for_the_size_of_its_tag(tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    sound = encoded("MP3", 16000, bitrate_mode="CONSTANT", compression_level=0.5)
    frames = sound[sound.index(sound[:2], 2) :]  # the first, which holds their number and no sound, is cut off
    for name, tag in (("a.mp3", b""), ("b.mp3", TAG)):
        (tmp_path / "sheets" / name).write_bytes(tag + frames)
    lines = [json.dumps({"file_name": name, "text": name}) for name in ("a.mp3", "b.mp3")]
    (tmp_path / "sheets" / "metadata.jsonl").write_text("\n".join(lines))
    found = gathered(tmp_path, "speech-recognition")
    assert sorted(row["text"] for split in found.values() for row in split) == ["a.mp3", "b.mp3"]
    assert (tmp_path / "data" / DROPPED).read_text() == ""


def test_a_folder_of_audio_has_transcripts_where_its_metadata_have(tmp_path: Path) -> None:
    rows = sounds.spoken(12)
    (tmp_path / "sheets").mkdir()
    lines = []
    for index, row in enumerate(rows):
        (tmp_path / "sheets" / f"{index}.wav").write_bytes(row["audio"])
        lines.append(json.dumps({"file_name": f"{index}.wav", "text": row["text"]}))
    (tmp_path / "sheets" / "metadata.jsonl").write_text("\n".join(lines))
    found = gathered(tmp_path, "speech-recognition")
    texts = {row["audio"]["bytes"]: row["text"] for split in found.values() for row in split}
    assert texts == {row["audio"]: row["text"] for row in rows}
