"""What the tasks share that feed a feature extractor's output to a graph."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError
from training.tasks import tensors
from training.tasks.base import Arrays, Model, Run, Task
from training.tasks.network import start
from training.tasks.source import base_source

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from training.recipe.recipe import Recipe

MASK: Final = "attention_mask"
Wave = NDArray[np.float32]  # samples from -1 to 1


class AudioTask(Task):
    """Sounds to the graph: spectrograms, all of one length (AST), or the samples themselves (Wav2Vec2, HuBERT, WavLM).

    Samples are padded to the longest of a batch. The graph has their mask where the extractor's
    `return_attention_mask` says so.
    """

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        return Model(start(self.auto, recipe, labels), start_extractor(recipe))

    def plain_processor(self, recipe: "Recipe") -> Any:
        return start_extractor(recipe, plain=True)

    def load_processor(self, folder: Path) -> Any:
        from transformers import AutoFeatureExtractor

        return AutoFeatureExtractor.from_pretrained(folder)

    def extractor(self, model: Model) -> Any:
        """The model's feature extractor."""
        return model.processor

    def encode(self, sounds: Sequence[Wave], model: Model) -> dict[str, NDArray[Any]]:
        """Sounds as the graph's inputs."""
        extractor = self.extractor(model)
        found = extractor(list(sounds), sampling_rate=extractor.sampling_rate, padding="longest", return_tensors="np")
        return {name: np.asarray(array, np.int64 if name == MASK else np.float32) for name, array in found.items()}

    def waves(self, rows: Mapping[str, Any], model: Model) -> list[Wave]:
        """The rows' sounds, as the model hears them."""
        return [heard(sound["bytes"], self.extractor(model).sampling_rate) for sound in rows["audio"]]

    def one_by_one(self, run: Run, model: Model, rows: "Dataset") -> Iterator[Arrays]:
        """What the graph answers to each row by itself, as a lone request has it: without padding."""
        for index in range(len(rows)):
            yield run(self.encode(self.waves(rows[index : index + 1], model), model))

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        sounds = sorted(self.waves(rows[:2], model), key=len)
        # Of different lengths, so that the mask has zeros and no dimension is taken for a constant.
        sounds[0] = sounds[0][: max(len(sounds[-1]) // 2, 1)] if len(sounds) > 1 else sounds[0]
        return {name: torch.from_numpy(array) for name, array in self.encode(sounds, model).items()}

    def serving_fields(self, model: Model, outputs: Mapping[str, list[int]]) -> dict[str, Any]:
        """The manifest's fields for these outputs."""
        second = self.encode([np.zeros(self.extractor(model).sampling_rate, np.float32)], model)
        shapes = {name: [-1, *array.shape[1:]] if array.ndim > 2 else [-1, -1] for name, array in second.items()}
        mask = {name: shapes.pop(name) for name in (MASK,) if name in shapes}
        return tensors.serving_fields(outputs, floats=shapes, integers=mask)

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def start_extractor(recipe: "Recipe", *, plain: bool = False) -> Any:
    """The feature extractor of the recipe's base, or of the model's type, with what the recipe says unless `plain`."""
    from transformers import CONFIG_MAPPING, AutoFeatureExtractor
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

    given = {} if plain else recipe.model.processor
    if recipe.model.base is None:
        kind = recipe.model.config["model_type"]
        if CONFIG_MAPPING[kind] not in FEATURE_EXTRACTOR_MAPPING:
            raise RecipeError(f"model.config.model_type: {kind} hears no sounds: wav2vec2, hubert, wavlm ...")
        return FEATURE_EXTRACTOR_MAPPING[CONFIG_MAPPING[kind]](**given)
    source, pin = base_source(recipe)
    return AutoFeatureExtractor.from_pretrained(source, **pin, **given)


def heard(sound: bytes, rate: int) -> Wave:
    """An audio file's samples at `rate` a second, its channels as one."""
    import soundfile
    from scipy.signal import resample_poly

    samples, own = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
    wave = samples.mean(axis=1)
    if own != rate:
        common = math.gcd(own, rate)
        wave = resample_poly(wave, rate // common, own // common)
    return np.asarray(wave, np.float32)
