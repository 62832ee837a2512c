"""Rows of numbers in, a count out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from training.tasks.tabular import TabularRegression

if TYPE_CHECKING:
    from datasets import Dataset


class TabularCount(TabularRegression):
    """One whole number, never below zero, for each row."""

    name = "tabular-count"
    about = "how many for a row of numbers: visits, orders, days"
    columns: ClassVar = {"target": "the number, not below zero"}
    metrics = ("mean_miss", "mean_absolute_error")
    metric = "mean_miss"
    higher_is_better = False

    def check_row(self, row: Mapping[str, Any]) -> None:
        if float(row["target"]) < 0:
            raise ValueError(f"target: {row['target']} is below zero, which no count is")

    def measure(self, predictions: Sequence[float], rows: "Dataset") -> dict[str, float]:
        missed = [abs(round(said) - float(true)) for said, true in zip(predictions, rows["target"][:], strict=True)]
        error = super().measure(predictions, rows)["mean_absolute_error"]
        return {"mean_miss": sum(missed) / len(missed), "mean_absolute_error": error}
