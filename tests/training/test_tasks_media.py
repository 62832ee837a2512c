"""What is said of images and sounds is read and measured as it is meant."""

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from datasets import Dataset, DatasetDict
from PIL import Image
from scipy.signal import periodogram
from transformers import ConditionalDetrImageProcessorPil, DPTImageProcessorPil, YolosImageProcessorPil

from tests.training.cases import model_of, split
from training.recipe.block import RecipeError
from training.recipe.recipe import Recipe
from training.tasks.audio import heard
from training.tasks.average_precision import Detected, measure_boxes
from training.tasks.base import Arrays, Model, Task
from training.tasks.image import require_whole
from training.tasks.image_embedding import ImageEmbedding
from training.tasks.image_segmentation import ImageSegmentation
from training.tasks.object_detection import ObjectDetection
from training.tasks.speech_recognition import SpeechRecognition
from training.templates import images
from training.templates.files import Rows
from training.templates.open import recipe_of

pytestmark = pytest.mark.filterwarnings("default")


def started(task: Task, rows: Rows, **processor: Any) -> tuple[Model, DatasetDict]:
    """A model as the task's template has it, which knows nothing yet, and the rows in splits."""
    model = model_of(task.name)
    model["processor"] |= processor
    whole = {"name": "r", "task": task.name, "datasets": [{"path": "none"}], "model": model}
    recipe, splits = Recipe.model_validate(whole), split(rows, 4)
    return task.start(recipe, task.labels(splits, recipe)), splits


def test_boxes_that_a_graph_tells_in_parts_of_the_image_are_found_where_they_are() -> None:
    task = ObjectDetection()
    model, splits = started(task, images.boxes(24))
    rows = splits["train"]
    targets = [task.features(rows, model)[index]["labels"] for index in range(len(rows))]

    def right(inputs: Arrays) -> Arrays:
        """All there is, surely, and in the queries that are left over nothing."""
        logits, boxes = np.full((len(rows), 8, 3), -20.0), np.full((len(rows), 8, 4), 0.5)
        logits[:, :, 2] = 0
        for index, target in enumerate(targets):
            there = range(len(target["boxes"]))
            logits[index, there, 2], logits[index, there, target["class_labels"]] = -20, 20
            boxes[index, there] = target["boxes"]
        return {"logits": logits, "pred_boxes": boxes}

    figures = task.measure(task.predict(right, model, rows), rows)
    assert figures == pytest.approx({"average_precision": 1, "average_precision_50": 1, "average_recall": 1})


def test_a_thing_counts_as_found_where_label_and_place_are_right() -> None:
    truth = [{"bbox": [[0, 0, 10, 10], [20, 20, 10, 10]], "category": ["a", "a"]}]
    first, second = Detected("a", 0.9, [0, 0, 10, 10]), Detected("a", 0.8, [20, 20, 10, 10])
    assert measure_boxes([[first, second]], truth)["average_precision"] == 1
    # Of the 101 places on the recall axis that COCO looks at, 51 are reached with the first alone.
    assert measure_boxes([[first]], truth)["average_precision"] == pytest.approx(51 / 101)
    assert measure_boxes([[first, second._replace(label="b")]], truth)["average_precision"] == pytest.approx(51 / 101)
    # Eight tenths of the place: found at the overlaps from 0.5 to 0.8, not at 0.85, 0.9 and 0.95.
    near = [second._replace(box=[20, 20, 10, 8.1])]
    assert measure_boxes([[first, *near]], truth)["average_precision"] == pytest.approx((7 + 3 * 51 / 101) / 10)
    assert measure_boxes([[first]], [{"bbox": [], "category": []}])["average_precision"] == 0


def test_pixels_are_counted_by_what_they_are_and_what_they_were_told_to_be() -> None:
    task = ImageSegmentation()
    scenes = images.masks(24)
    model, splits = started(task, scenes)
    assert model.labels == ["0", "1", "2"]
    rows = splits["train"]
    masks = np.stack([np.asarray(mask) for mask in rows["mask"]])

    def right(inputs: Arrays) -> Arrays:
        return {"logits": np.moveaxis(np.eye(3, dtype=np.float32)[masks], -1, 1)}

    def nothing(inputs: Arrays) -> Arrays:
        return {"logits": np.moveaxis(np.eye(3, dtype=np.float32)[np.zeros_like(masks)], -1, 1)}

    assert task.measure(task.predict(right, model, rows), rows) == {"mean_iou": 1, "pixel_accuracy": 1}
    figures = task.measure(task.predict(nothing, model, rows), rows)
    empty = float((masks == 0).mean())
    assert figures == pytest.approx({"mean_iou": empty / 3, "pixel_accuracy": empty})


def test_pixels_that_do_not_count_are_not_counted() -> None:
    task = ImageSegmentation()
    scenes = images.masks(24)
    model, _ = started(task, scenes)
    mask = np.asarray(scenes[0]["mask"]).copy()
    mask[:24] = 255
    row = Dataset.from_list([{"image": scenes[0]["image"], "mask": Image.fromarray(mask)}])
    (counts,) = task.predict(lambda inputs: {"logits": np.zeros((1, 3, 24, 24), np.float32)}, model, row)
    assert counts.sum() == 24 * 48
    assert task.features(row, model)[0]["labels"].max() == 255


def test_a_processor_that_cuts_images_off_is_refused_where_something_points_into_them() -> None:
    task = ObjectDetection()
    cutting = {"do_center_crop": True, "crop_size": {"height": 40, "width": 40}}
    model, splits = started(task, images.boxes(24), **cutting)
    with pytest.raises(RecipeError, match="do_center_crop: false"):
        task.features(splits["train"], model)


@pytest.mark.parametrize("kind", [ConditionalDetrImageProcessorPil, YolosImageProcessorPil])
@pytest.mark.parametrize("task", [ObjectDetection(), ImageSegmentation()])
def test_a_processor_that_pads_or_keeps_the_shape_is_refused_until_it_scales_to_one_size(task: Task, kind: Any) -> None:
    model, splits = started(task, images.boxes(24) if isinstance(task, ObjectDetection) else images.masks(24))
    for wrong in ({}, {"do_pad": False}, {"size": {"height": 32, "width": 32}}):
        with pytest.raises(RecipeError, match=r"size: { height: 640, width: 640 }, do_pad: false"):
            task.features(splits["train"], replace(model, processor=kind(**wrong)))
    with pytest.raises(RecipeError, match="several sizes"):
        require_whole(DPTImageProcessorPil(size={"height": 64, "width": 64}, keep_aspect_ratio=True))


def test_boxes_and_pixels_of_a_detector_are_of_the_same_image() -> None:
    """What the template's comment says to write makes two images of unlike shape fill one size."""
    asked = yaml.safe_load(re.findall(r"processor: ({.*do_pad: false })", recipe_of("object-detection"))[0])
    assert asked.pop("size") == {"height": 640, "width": 640}
    grey = {"size": {"height": 64, "width": 64}, "image_mean": [0.5], "image_std": [0.5]}
    processor = ConditionalDetrImageProcessorPil(**asked, **grey)
    model, _ = started(ObjectDetection(), images.boxes(24))
    white = [Image.new("L", size, "white") for size in ((40, 20), (20, 40))]
    boxes = [{"bbox": [[0, 0, *image.size]], "category": ["0"]} for image in white]
    features = ObjectDetection().features(
        Dataset.from_list([{"image": i, "boxes": b} for i, b in zip(white, boxes, strict=True)]),
        replace(model, processor=processor),
    )
    for row in (features[0], features[1]):
        assert row["pixel_values"].shape == (1, 64, 64)
        assert np.ptp(row["pixel_values"]) < 1e-6, "there is something beside the image"
        assert row["labels"]["boxes"].tolist() == [[0.5, 0.5, 1, 1]]


def test_an_image_is_not_its_own_neighbour_however_often_it_is_drawn() -> None:
    vectors = [np.array(one) for one in ([1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0])]
    rows = Dataset.from_dict({"label": ["a", "b", "b", "a"]})
    task = ImageEmbedding()
    assert task.measure(vectors, rows)["recall_at_1"] == 0.5  # the two in the middle find each other
    often = [vectors[0], *vectors], Dataset.from_dict({"label": ["a", "a", "b", "b", "a"]})
    assert task.measure(*often)["recall_at_1"] == pytest.approx(2 / 5)


def test_speech_is_written_without_blanks_and_without_repetitions() -> None:
    task = SpeechRecognition()
    rows = [{"audio": sound(440, 8000), "text": text} for text in ("aab a", "ab", "b", "a b")]
    model, splits = started(task, rows * 6)
    tokens = model.processor.tokenizer.convert_tokens_to_ids(["a", "a", "<pad>", "a", "b", "b", "|", "a"])
    logits = np.eye(len(model.processor.tokenizer))[None, tokens]
    said = task.predict(lambda inputs: {"logits": logits}, model, splits["test"])
    assert said == ["aab a"] * 4


def test_words_that_are_wrong_missing_or_too_many_are_errors() -> None:
    rows = Dataset.from_dict({"text": ["press one now", "goodbye"]})
    figures = SpeechRecognition().measure(["press won", "good bye"], rows)
    assert figures["word_error_rate"] == pytest.approx(4 / 4)
    assert SpeechRecognition().measure(rows["text"][:], rows) == {"word_error_rate": 0, "character_error_rate": 0}


def test_a_sound_is_heard_at_the_rate_that_the_model_knows_with_its_channels_as_one() -> None:
    wave = heard(sound(440, 44100, channels=2)["bytes"], 8000)
    assert wave.shape == (8000,)
    frequencies, power = periodogram(wave, 8000)
    assert frequencies[power.argmax()] == 440


def test_characters_are_those_of_the_training_rows() -> None:
    rows = [{"audio": sound(440, 8000), "text": text} for text in ("no", "on", "oh no", "hon")]
    model, _ = started(SpeechRecognition(), rows * 6)
    assert sorted(model.processor.tokenizer.get_vocab()) == ["<pad>", "<unk>", "h", "n", "o", "|"]
    assert model.config.vocab_size == 6


def sound(frequency: int, rate: int, channels: int = 1) -> dict[str, Any]:
    """A second of one tone."""
    wave = np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
    packed = io.BytesIO()
    soundfile.write(packed, np.stack([wave] * channels, axis=1), rate, format="WAV")
    return {"path": None, "bytes": packed.getvalue()}
