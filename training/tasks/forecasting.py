"""A series of numbers in, how it goes on out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError
from training.tasks import tensors
from training.tasks.base import Model, Run, Task
from training.tasks.network import start

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from training.recipe.recipe import Recipe


class Forecasting(Task):
    """The model's `context_length` values in, the next `prediction_length` out: PatchTST, PatchTSMixer.

    A row is a piece of a series. All windows of the training rows are learned from; of other rows the last one is
    what is measured.
    """

    name = "forecasting"
    about = "how a series goes on: demand, load, temperature"
    columns: ClassVar = {"series": "values at equal distances in time, a list of numbers"}
    auto = "AutoModelForTimeSeriesPrediction"
    outputs = ("prediction_outputs",)
    targets = ("future_values",)
    metrics = ("mean_absolute_error", "scaled_error")
    metric = "scaled_error"
    higher_is_better = False

    def __init__(self) -> None:
        from transformers import (
            AutoModelForTimeSeriesPrediction,
            PatchTSMixerConfig,
            PatchTSMixerForPrediction,
            PatchTSTConfig,
            PatchTSTForPrediction,
        )

        # Which it does not know by itself.
        AutoModelForTimeSeriesPrediction.register(PatchTSTConfig, PatchTSTForPrediction, exist_ok=True)
        AutoModelForTimeSeriesPrediction.register(PatchTSMixerConfig, PatchTSMixerForPrediction, exist_ok=True)

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        return Model(start(self.auto, recipe), None)

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        from datasets import Dataset

        past, future = _lengths(model)
        windows = [
            window[:, None]
            for series in rows["series"]
            for window in np.lib.stride_tricks.sliding_window_view(_long_enough(series, past + future), past + future)
        ]
        return Dataset.from_dict(
            {
                "past_values": [window[:past] for window in windows],
                "future_values": [window[past:] for window in windows],
            }
        )

    def collator(self, model: Model) -> Any:
        from transformers import DefaultDataCollator

        return DefaultDataCollator()

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[NDArray[np.float32]]:
        """The last values of each row, told from those before them."""
        return list(run({"past_values": _pasts(rows, model)})["prediction_outputs"][:, :, 0])

    def measure(self, predictions: Sequence[NDArray[np.float32]], rows: "Dataset") -> dict[str, float]:
        """The mean error, and that in units of the mean step from one value to the next: below one is better than
        saying that nothing will change for one step."""
        errors, steps = [], []
        for said, series in zip(predictions, rows["series"], strict=True):
            values = np.array(series, float)
            errors.append(np.abs(values[-len(said) :] - said).mean())
            steps.append(np.abs(np.diff(values[: -len(said)])).mean())
        return {
            "mean_absolute_error": float(np.mean(errors)),
            "scaled_error": float(np.mean(errors) / max(float(np.mean(steps)), 1e-12)),
        }

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        return {"past_values": torch.from_numpy(_pasts(rows.select(range(min(2, len(rows)))), model))}

    def serving(self, model: Model) -> dict[str, Any]:
        past, future = _lengths(model)
        return tensors.serving_fields({"prediction_outputs": [-1, future, 1]}, floats={"past_values": [-1, past, 1]})

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


def _lengths(model: Model) -> tuple[int, int]:
    return model.config.context_length, model.config.prediction_length


def _pasts(rows: "Dataset", model: Model) -> NDArray[np.float32]:
    past, future = _lengths(model)
    return np.stack([_long_enough(series, past + future)[-past - future : -future, None] for series in rows["series"]])


def _long_enough(series: Sequence[float], least: int) -> NDArray[np.float32]:
    if len(series) < least:
        raise RecipeError(f"datasets: a series has {len(series)} values, the model needs {least}")
    return np.array(series, np.float32)
