"""Reads images out of a CSV whose cells are their pixels."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.cells import cells
from training.data.rows import Numbered
from training.recipe.block import RecipeError, check_keys


def read_pixels(path: Path, options: Mapping[str, Any]) -> Iterator[Numbered]:
    """An `image`, as a PNG, and its `label` in each line of a CSV: `shape` greys from 0 to `white`, then the label."""
    import numpy as np
    from PIL import Image

    check_keys(options, ("shape", "white"), "datasets.options", "the format pixels")
    match options.get("shape"):
        case [int() as height, int() as width]:
            white = float(options.get("white", 255))
        case _:
            raise RecipeError(f"{path}: the format pixels needs options: {{shape: [height, width]}}")
    for number, line in cells(path, {}):
        if len(line) != height * width + 1:
            raise RecipeError(f"{path}, line {number}: {len(line)} cells, not {height} x {width} greys and a label")
        try:
            greys = np.array(line[:-1], float).reshape(height, width)
        except ValueError as error:
            raise RecipeError(f"{path}, line {number}: {error}, where a grey is wanted") from error
        if not ((greys >= 0) & (greys <= white)).all():  # they would come out as others, modulo 256
            raise RecipeError(
                f"{path}, line {number}: greys from {greys.min():g} to {greys.max():g}, where 0 to {white:g} are "
                "wanted: options: {white: ...} says the brightest"
            )
        packed = io.BytesIO()
        Image.fromarray((greys * (255 / white)).round().astype(np.uint8)).save(packed, "PNG")
        yield number, {"image": {"path": None, "bytes": packed.getvalue()}, "label": line[-1]}
