"""Small real rows of numbers: tumours and diabetes come with scikit-learn, heights of land with matplotlib."""

from importlib.resources import files
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes

from training.templates.files import Rows


def tumours(count: int) -> Rows:
    """Measurements of cells, and what they were."""
    found = load_breast_cancer()
    return _numbers(found.data, found.feature_names, "label", [str(found.target_names[one]) for one in found.target])[
        :count
    ]


def diabetes(count: int) -> Rows:
    """Measurements of people, and how their illness went on."""
    found = load_diabetes(scaled=False)
    return _numbers(found.data, found.feature_names, "target", [float(one) for one in found.target])[:count]


def heights(count: int) -> Rows:
    """Pieces of profiles through the land around Jacksboro, which come with matplotlib: points at equal distances."""
    with np.load(str(files("matplotlib") / "mpl-data" / "sample_data" / "jacksboro_fault_dem.npz")) as found:
        profiles = found["elevation"][::10].astype(float)  # neighbours are too much alike to be judged by each other
    scaled = (profiles - profiles.mean()) / profiles.std()
    pieces = [profile[at : at + 50] for profile in scaled for at in range(0, len(profile) - 49, 50)]
    return [{"series": piece.tolist()} for piece in pieces][:count]


def _numbers(data: Any, names: Any, target: str, truth: list[Any]) -> Rows:
    columns = [str(name).replace(" ", "_") for name in names]
    rows = [dict(zip(columns, map(float, row), strict=True)) for row in data]
    return [{**row, target: one} for row, one in zip(rows, truth, strict=True)]
