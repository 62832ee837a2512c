"""Rows of numbers in, how likely each of several labels is or a number out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from training.recipe.block import RecipeError, all_of
from training.tasks import tensors
from training.tasks.base import Model, Run, Task
from training.tasks.classes import METRICS, Scores, labels_of, measure_classes, score
from training.tasks.network import start

if TYPE_CHECKING:
    import torch
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe


class Tabular(Task):
    """Reads the columns that `model.config.columns` names; the model is `headrace-tabular`, there is no base."""

    auto = "AutoModel"
    numeric_rows = True
    served_as = "tabular"
    target: ClassVar[str]  # the column that is to be told from the others

    def __init__(self) -> None:
        from training.tasks import tabular_network  # noqa: F401  tells transformers of the model

    def options(self) -> dict[str, Any]:
        """What the task asks of the model's configuration."""
        return {}

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        all_of(lambda: _require_columns(recipe), lambda: _require_batch(recipe))

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        _require_columns(recipe)
        return Model(start(self.auto, recipe, labels, self.options()), None)

    def targets_of(self, rows: "Dataset", model: Model) -> list[Any]:
        """What the loss is taken against."""
        raise NotImplementedError

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        from datasets import Dataset

        numbers = _numbers(rows, model)
        return Dataset.from_dict({"features": list(numbers), "labels": self.targets_of(rows, model)})

    def collator(self, model: Model) -> Any:
        from transformers import DefaultDataCollator

        return DefaultDataCollator()

    def answers(self, run: Run, model: Model, rows: "Dataset") -> NDArray[Any]:
        """What the graph says of each row."""
        return run({"features": _numbers(rows, model)})["logits"]

    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        import torch

        return {"features": torch.from_numpy(_numbers(rows.select(range(min(2, len(rows)))), model))}

    def serving(self, model: Model) -> dict[str, Any]:
        width = 1 if model.config.regression else len(model.labels)
        fields = tensors.serving_fields({"logits": [-1, width]}, floats={"features": [-1, len(model.config.columns)]})
        return {**fields, "task": self.served_as}

    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        return tensors.golden(self, run, model, rows)


class TabularClassification(Tabular):
    """One label for each row."""

    name = "tabular-classification"
    about = "a label for a row of numbers: a customer who leaves, a part that fails"
    columns: ClassVar = {"label": "the class, a string"}
    target = "label"
    metrics = METRICS
    metric = "accuracy"

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        return labels_of(rows, recipe)

    def targets_of(self, rows: "Dataset", model: Model) -> list[Any]:
        numbers = {label: index for index, label in enumerate(model.labels)}
        return [numbers[label] for label in rows["label"]]

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Scores]:
        return score(self.answers(run, model, rows), model.labels)

    def measure(self, predictions: Sequence[Scores], rows: "Dataset") -> dict[str, float]:
        return measure_classes(predictions, rows["label"][:])


class TabularRegression(Tabular):
    """One number for each row."""

    name = "tabular-regression"
    about = "a number for a row of numbers: a price, a duration, a demand"
    columns: ClassVar = {"target": "the number"}
    wanted = ("target",)
    target = "target"
    metrics = ("r2", "mean_absolute_error")
    metric = "r2"

    def options(self) -> dict[str, Any]:
        return {"regression": True}

    def targets_of(self, rows: "Dataset", model: Model) -> list[Any]:
        return [float(value) for value in rows["target"]]

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[float]:
        return [float(value) for value in self.answers(run, model, rows)[:, 0]]

    def measure(self, predictions: Sequence[float], rows: "Dataset") -> dict[str, float]:
        """The part of the variance that is explained, and the mean error in the target's unit."""
        truth, said = np.array(rows["target"][:], float), np.array(predictions)
        spread = float(((truth - truth.mean()) ** 2).sum())
        return {
            "r2": 1 - float(((truth - said) ** 2).sum()) / spread if spread else 0.0,
            "mean_absolute_error": float(np.abs(truth - said).mean()),
        }


def _require_columns(recipe: "Recipe") -> None:
    if not recipe.model.config.get("columns"):
        raise RecipeError("model.config.columns: name the columns of numbers that the model reads")


def _require_batch(recipe: "Recipe") -> None:
    if recipe.train.get("per_device_train_batch_size") == 1:
        raise RecipeError(
            "train.per_device_train_batch_size: numbers are scaled by their batch: give it 2 rows or more"
        )


def _numbers(rows: "Dataset", model: Model) -> NDArray[np.float32]:
    """FP32 `[rows, columns]`. Raises RecipeError where a column is missing or holds something else."""
    columns = model.config.columns
    if missing := [name for name in columns if name not in rows.column_names]:
        raise RecipeError(f"model.config.columns: the rows have no {', '.join(missing)}")
    try:
        return np.array([rows[name][:] for name in columns], np.float32).T.copy()
    except (TypeError, ValueError) as error:
        raise RecipeError(f"model.config.columns: {', '.join(columns)} must hold numbers: {error}") from error
