"""What the tasks share that feed an image processor's output to a graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError
from training.tasks import tensors
from training.tasks.base import Arrays, Model, Run, Task
from training.tasks.network import start
from training.tasks.source import base_source, under_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from datasets import Dataset

    from training.recipe.recipe import Recipe

BATCH: Final = 32
_SIDE: Final = 224  # of an image that is asked for the shapes of the outputs
_SEEN: Final = 640  # the side of an image in which detectors see what is small


class ImageTask(Task):
    """Images to the graph: `pixel_values`. In grey where the model's `num_channels` is 1, and in colour else."""

    def start(self, recipe: "Recipe", labels: "Sequence[str]") -> Model:
        return Model(start(self.auto, recipe, labels), start_processor(recipe))

    def plain_processor(self, recipe: "Recipe") -> Any:
        return start_processor(recipe, plain=True)

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(folder)

    def collator(self, model: Model) -> Any:
        from transformers import DefaultDataCollator

        return DefaultDataCollator()

    def image_processor(self, model: Model) -> Any:
        """What scales the images."""
        return model.processor

    def channels(self, model: Model) -> int:
        """Of the images that the model sees: 1 for grey, 3 for colour."""
        sees = getattr(model.config, "backbone_config", None) or model.config
        channels: int = sees.num_channels
        return channels

    def pixels(self, images: "Sequence[Any]", model: Model) -> NDArray[np.float32]:
        """FP32 `[images, channels, height, width]`, as the model's processor scales them."""
        mode = "L" if self.channels(model) == 1 else "RGB"
        arrays = [np.asarray(image.convert(mode)) for image in images]
        arrays = [array[None] if array.ndim == 2 else array.transpose(2, 0, 1) for array in arrays]
        processor = self.image_processor(model)
        found = processor(arrays, input_data_format="channels_first", return_tensors="np")["pixel_values"]
        return np.asarray(found, np.float32)

    def label(self, rows: "Dataset", model: Model, labels: "Sequence[str]") -> "Dataset":
        """The rows' pixels, and the number of each one's label among these."""
        numbers = {label: index for index, label in enumerate(labels)}

        def encode(batch: dict[str, list[Any]]) -> dict[str, Any]:
            pixels = self.pixels(batch["image"], model)
            return {"pixel_values": list(pixels), "labels": [numbers[label] for label in batch["label"]]}

        # When they are asked for: all at once they would not fit into memory.
        return rows.with_transform(encode)

    def batches(self, run: Run, model: Model, rows: "Dataset") -> Iterator[tuple[dict[str, list[Any]], Arrays]]:
        """The rows, and what the graph answers to their images."""
        for at in range(0, len(rows), BATCH):
            batch = rows[at : at + BATCH]
            yield batch, run({"pixel_values": self.pixels(batch["image"], model)})

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        return {"pixel_values": torch.from_numpy(self.pixels(rows[:2]["image"], model))}

    def serving(self, model: Model) -> dict[str, Any]:
        from PIL import Image

        height, width = size_of(self.image_processor(model))
        blank = Image.new("L", (_SIDE, _SIDE))
        found = self.eager(model)({"pixel_values": self.pixels([blank], model)})
        shapes = {name: found[name].shape[1:] for name in self.outputs}
        outputs = {name: [-1, *(shape if height > 0 else [-1] * len(shape))] for name, shape in shapes.items()}
        return tensors.serving_fields(outputs, floats={"pixel_values": [-1, self.channels(model), height, width]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def start_processor(recipe: "Recipe", *, plain: bool = False) -> Any:
    """The image processor of the recipe's base, or ViT's, with what the recipe says of it unless it is `plain`."""
    from transformers import AutoImageProcessor, ViTImageProcessorPil

    given = {} if plain else recipe.model.processor
    if recipe.model.base is None:
        return ViTImageProcessorPil(**given)
    source, pin = base_source(recipe)
    return AutoImageProcessor.from_pretrained(source, **pin, **given)


def check_whole(recipe: "Recipe") -> None:
    """`require_whole` of the processor that training would start with."""
    with under_key("model.base"):
        processor = start_processor(recipe)
    require_whole(processor)


def require_whole(processor: Any) -> None:
    """Raises RecipeError unless it scales each image, whole and alone, to one size: boxes and masks would point at the
    wrong places, as they are told in parts of what the model sees."""
    if getattr(processor, "do_center_crop", False):
        raise RecipeError(
            "model.processor: it crops images, which what points into them can't follow: do_center_crop: false"
        )
    if getattr(processor, "do_pad", False) or _several_sizes(processor):
        raise RecipeError(
            "model.processor: it pads images or scales them to several sizes, which boxes and masks can't follow: "
            f"size: {{ height: {_SEEN}, width: {_SEEN} }}, do_pad: false, or another size"
        )


def _several_sizes(processor: Any) -> bool:
    """Whether images of different shapes are scaled to different sizes."""
    return processor.do_resize and ("height" not in processor.size or getattr(processor, "keep_aspect_ratio", False))


def size_of(processor: Any) -> tuple[int, int]:
    """The height and width that images are scaled to; -1 where they keep some size of their own."""
    size = getattr(processor, "crop_size", None) or processor.size
    return (size["height"], size["width"]) if "height" in size else (-1, -1)
