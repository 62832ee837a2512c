"""Small real images: digits that people wrote come with scikit-learn, pictures with captions with Tux Paint."""

import functools
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from training.templates.files import Rows
from training.templates.stamps import stamps

SIDE = 48  # of a scene
CELL = SIDE // 2
LABELS = ("0", "1")
INK = 64  # from this grey on a pixel is of a digit


class Scene(NamedTuple):
    """Digits that people wrote, put on one sheet: where each stands and which pixels are its own is known."""

    image: Image.Image
    mask: Image.Image  # 0 where there is nothing, else one more than the digit
    boxes: dict[str, list[Any]]


def digits(count: int) -> Rows:
    """8 by 8 greys."""
    return [{"image": Image.fromarray(grey), "label": str(label)} for label, grey in _digits()[:count]]


def scenes(count: int) -> list[Scene]:
    """Sheets with one to three digits."""
    pick = random.Random(7)
    written = [(label, grey.repeat(2, axis=0).repeat(2, axis=1)) for label, grey in _digits() if str(label) in LABELS]
    return [_scene(pick, written) for _ in range(count)]


def boxes(count: int) -> Rows:
    """Where on a sheet the digits are, and which."""
    return [{"image": scene.image, "boxes": scene.boxes} for scene in scenes(count)]


def masks(count: int) -> Rows:
    """Which pixels of a sheet are of which digit."""
    return [{"image": scene.image, "mask": scene.mask} for scene in scenes(count)]


def captioned(count: int) -> Rows:
    """Tux Paint's pictures, each with a line about it."""
    found = stamps()
    some = random.Random(7).sample(found, len(found))[:count]
    return [{"image": _on_white(stamp.picture), "caption": stamp.text} for stamp in some]


def _on_white(path: Path) -> Image.Image:
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    picture.thumbnail((64, 64))
    sheet = Image.new("RGBA", (64, 64), "white")
    sheet.alpha_composite(picture, ((64 - picture.width) // 2, (64 - picture.height) // 2))
    return sheet.convert("RGB")


@functools.cache
def _digits() -> list[tuple[int, NDArray[np.uint8]]]:
    pixels, labels = load_digits(return_X_y=True)
    greys = (pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    return [(int(label), grey) for label, grey in zip(labels, greys, strict=True)]


def _scene(pick: random.Random, written: list[tuple[int, NDArray[np.uint8]]]) -> Scene:
    sheet, mask = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    places: dict[str, list[Any]] = {"bbox": [], "category": []}
    for cell in pick.sample(range(4), pick.randint(1, 3)):
        label, grey = pick.choice(written)
        top = cell // 2 * CELL + pick.randint(0, CELL - len(grey))
        left = cell % 2 * CELL + pick.randint(0, CELL - len(grey))
        sheet[top : top + len(grey), left : left + len(grey)] = grey
        rows, columns = np.nonzero(grey >= INK)
        mask[rows + top, columns + left] = label + 1
        x, y = int(columns.min()), int(rows.min())
        places["bbox"].append([left + x, top + y, int(columns.max()) - x + 1, int(rows.max()) - y + 1])
        places["category"].append(str(label))
    return Scene(Image.fromarray(sheet), Image.fromarray(mask), places)
