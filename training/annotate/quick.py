"""A model that is trained in seconds and judges, for rows that it was not fitted on, how likely each label is."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from training.data.canonical import LABEL
from training.recipe.block import RecipeError

if TYPE_CHECKING:
    from datasets import Dataset

FOLDS: Final = 5
SIDE: Final = 16  # images are judged by their greys at this size
# Words, and each sign of the scripts that put none between them.
TOKENS: Final = "[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+"


def quick(rows: "Dataset", seed: int) -> tuple[list[str], NDArray[np.float64]]:
    """The labels, and FP64 `[rows, labels]`: each row's by a model of the other four fifths.

    Raises RecipeError where a label has too few rows for that.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    labels, numbers, counts = np.unique(np.array(rows[LABEL][:]), return_inverse=True, return_counts=True)
    if counts.min() < FOLDS:
        few = ", ".join(str(label) for label, count in zip(labels, counts, strict=True) if count < FOLDS)
        raise RecipeError(f"datasets: suspects are found by cross-validation, for which {few} has under {FOLDS} rows")
    model, features = _text(rows) if "text" in rows.column_names else _image(rows, seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # matrices so small take longer in pieces
        found: NDArray[np.float64] = cross_val_predict(model, features, numbers, cv=folds, method="predict_proba")
    return labels.tolist(), found


def _text(rows: "Dataset") -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    columns = [rows[name][:] for name in ("text", "text_pair") if name in rows.column_names]
    vectors = TfidfVectorizer(token_pattern=TOKENS, ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    features = vectors.fit_transform([" \n ".join(parts) for parts in zip(*columns, strict=True)])
    return LogisticRegression(C=3.0, max_iter=1000), features


def _image(rows: "Dataset", seed: int) -> tuple[Any, Any]:
    from sklearn.ensemble import RandomForestClassifier

    small = [np.asarray(image.convert("L").resize((SIDE, SIDE))) for image in rows["image"]]
    return RandomForestClassifier(200, random_state=seed), np.array(small).reshape(len(small), -1)
