"""Images in another frame, in another light."""

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import kornia.augmentation as augmentation
import numpy as np
import torch
from PIL import Image

from training.augment.copies import Copy
from training.recipe.augment import ImageAugment
from training.recipe.block import RecipeError

COLUMN: Final = "image"
_POINTING: Final = ("boxes", "mask")  # columns that say where in the image something is
_MODES: Final = ("L", "RGB")  # that images keep; others become RGB


def check_columns(there: Sequence[str], block: ImageAugment) -> None:
    """Raises RecipeError where the rows have no images, or something that points into them."""
    if COLUMN not in there:
        raise RecipeError(f"augment.image_augment: the rows have no images; their columns are {', '.join(there)}")
    pointing = next((name for name in _POINTING if name in there), None)
    if pointing and "random_crop" in block.methods:
        raise RecipeError(
            f"augment.image_augment: random_crop would leave {pointing!r} pointing at the wrong place: leave it out"
        )


def copies(
    rows: Sequence[dict[str, Any]], images: Iterable[Image.Image], block: ImageAugment, seed: int
) -> Iterator[Copy]:
    """As many of each row as the block wants, their images in PNG."""
    steps = _steps(block)
    for index, (row, original) in enumerate(zip(rows, images, strict=True)):
        image = original if original.mode in _MODES else original.convert("RGB")
        if "random_crop" in block.methods:
            image = large_enough(image, block.params.crop_size)
        for copy in range(block.params.copies):
            with torch.random.fork_rng():
                torch.manual_seed(_seed(seed, index, copy))
                new = steps(_tensor(image))
            yield Copy(index, {**row, COLUMN: {"path": None, "bytes": _png(new, image.mode)}})


def large_enough(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image, enlarged if a frame of `size`, height and width, does not fit in."""
    scale = max(size[0] / image.height, size[1] / image.width)
    if scale <= 1:
        return image
    return image.resize(
        (max(size[1], round(image.width * scale)), max(size[0], round(image.height * scale))), Image.Resampling.BICUBIC
    )


def _steps(block: ImageAugment) -> Any:
    params, steps = block.params, []
    for method in block.methods:
        match method:
            case "random_crop":
                steps.append(augmentation.RandomCrop(params.crop_size))
            case "color_jitter":
                steps.append(
                    augmentation.ColorJitter(params.brightness, params.contrast, params.saturation, params.hue)
                )
    return torch.nn.Sequential(*steps)


def _tensor(image: Image.Image) -> torch.Tensor:
    """[1, 3, height, width], from 0 to 1."""
    pixels = np.asarray(image.convert("RGB"), np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def _png(pixels: torch.Tensor, mode: str) -> bytes:
    levels = (pixels[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(levels).convert(mode).save(file, "PNG")
    return file.getvalue()


def _seed(seed: int, index: int, copy: int) -> int:
    """Each copy's own, whatever was made before it."""
    return int(np.random.SeedSequence((seed, index, copy)).generate_state(1)[0])
