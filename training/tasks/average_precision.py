"""How well boxes are found: COCO's average precision, by pycocotools."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

METRICS: Final = ("average_precision", "average_precision_50", "average_recall")  # of `measure_boxes`
MOST: Final = 100  # of an image's boxes that count, the likeliest first


class Detected(NamedTuple):
    """A thing in an image. `box` is [x, y, width, height] in pixels."""

    label: str
    score: float
    box: Sequence[float]


def measure_boxes(predictions: Sequence[Sequence[Detected]], truth: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Average precision as the mean over the labels that there are, at overlaps from 0.5 to 0.95 and at 0.5 alone; and
    which part of the things is found at all."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers = {label: number for number, label in enumerate(_labels(predictions, truth), 1)}
    real, found = COCO(), COCO()
    images = [{"id": index} for index in range(len(truth))]
    categories = [{"id": number} for number in numbers.values()]
    real.dataset = {
        "images": images,
        "categories": categories,
        "annotations": [
            _annotation(index, numbers[label], box)
            for index, boxes in enumerate(truth)
            for label, box in zip(boxes["category"], boxes["bbox"], strict=True)
        ],
    }
    found.dataset = {
        "images": images,
        "categories": categories,
        "annotations": [
            {**_annotation(index, numbers[one.label], one.box), "score": one.score}
            for index, several in enumerate(predictions)
            for one in several
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        for one in (real, found):
            for number, annotation in enumerate(one.dataset["annotations"], 1):
                annotation["id"] = number
            one.createIndex()
        evaluation = COCOeval(real, found, "bbox")
        evaluation.params.maxDets = [MOST]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    return {
        "average_precision": _mean(precision),
        "average_precision_50": _mean(precision[0]),
        "average_recall": _mean(recall),
    }


def _labels(predictions: Sequence[Sequence[Detected]], truth: Sequence[Mapping[str, Any]]) -> list[str]:
    real = {label for boxes in truth for label in boxes["category"]}
    return sorted(real.union(one.label for several in predictions for one in several))


def _annotation(image: int, category: int, box: Sequence[float]) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(box), "area": box[2] * box[3], "iscrowd": 0}


def _mean(values: Any) -> float:
    """Without labels that no image shows, which have -1; 0 where no image shows anything."""
    there = values[values > -1]
    return float(np.mean(there)) if there.size else 0.0
