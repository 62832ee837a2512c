"""What a recipe's figures are to be compared with: `python -m training.recipes.baseline RECIPE`.

On the recipe's own test rows, with intervals of the same bootstrap. Of a classifier: the most frequent label, and a
logistic regression on TF-IDF or on the pixels, learnt from the training rows before they are cleaned. Of a language
model: the base as it is.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from training import pipeline
from training.evaluate.intervals import intervals
from training.evaluate.run import measure_on
from training.recipe.recipe import Recipe, load
from training.stage import ROWS
from training.tasks.generated import tokenizer_of
from training.tasks.open import open_task

GREYS: Final = 255


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m training.recipes.baseline", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".headrace/training"), help="as of `headrace train`")
    options = parser.parse_args(arguments)
    recipe = load(options.recipe)
    data = pipeline.run(recipe, options.work, lambda line: None, "data").folders["data"]
    rows = load_from_disk(str(data / ROWS))
    print(json.dumps(baselines(recipe, rows), indent=1))


def baselines(recipe: Recipe, rows: DatasetDict) -> dict[str, dict[str, dict[str, float]]]:
    """Each baseline's metrics on the test rows, with their intervals."""
    task, block, test = open_task(recipe.task), recipe.evaluate, rows["test"]
    found = {}
    for name, predictions in _predictions(recipe, rows).items():
        measure = measure_on(task, predictions, test)
        of = intervals(measure, len(test), block.resamples, block.confidence, recipe.seed)
        found[name] = {metric: interval.as_json() for metric, interval in of.items()}
    return found


def _predictions(recipe: Recipe, rows: DatasetDict) -> dict[str, Sequence[Any]]:
    if "label" not in rows["train"].column_names:
        task = open_task(recipe.task)
        base = task.start(recipe, ())
        return {"base": task.predict(task.eager(base), base, rows["test"])}
    train, test = rows["train"], rows["test"]
    counts = Counter(train["label"][:])
    shares = {label: count / len(train) for label, count in sorted(counts.items())}
    return {"majority": [shares] * len(test), "logistic regression": _regression(train, test)}


def _regression(train: Dataset, test: Dataset) -> list[dict[str, float]]:
    column = "text" if "text" in train.column_names else "image"
    regression = LogisticRegression(C=10 if column == "text" else 0.1, max_iter=1000)
    model = make_pipeline(_inputs(train, column), regression)
    model.fit(train[column][:], train["label"][:])
    scores = model.predict_proba(test[column][:])
    return [dict(zip(model.classes_.tolist(), row, strict=True)) for row in scores.tolist()]


def _inputs(train: Dataset, column: str) -> Any:
    if column == "image":
        return FunctionTransformer(lambda images: np.array([np.asarray(one).ravel() / GREYS for one in images]))
    if tokenizer_of(train[column][:]) == "zh":  # without spaces between words
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)


if __name__ == "__main__":
    main()
