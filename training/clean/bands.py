"""The third stage: which rows stay, by how hard their text is to predict."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.clean.verdict import Verdict
from training.recipe.clean import Band, Hard


def scores(texts: Sequence[str], block: Hard, beside: Path, seed: int) -> NDArray[np.float64]:
    """Each text's perplexity, under the model that the block names or one trained on the others."""
    if block.model is None:
        from training.clean.tiny import cross_perplexities

        return cross_perplexities(texts, block, seed)
    from training.clean.perplexity import open_model, perplexities

    return perplexities(texts, *open_model(block, beside), block)


def judge(found: NDArray[np.float64], block: Hard) -> tuple[dict[int, Verdict], dict[str, Any]]:
    """Those in a band that is not kept, by their place among the scores; and where the bands are, for the report."""
    low, high = (float(bound) for bound in np.quantile(found, block.quantiles))
    bands: list[Band] = ["low" if one < low else "high" if one > high else "medium" for one in found]
    verdicts = {
        at: Verdict(f"perplexity-{band}", round(float(one), 4), f"{band}: the middle is {low:.4g} to {high:.4g}")
        for at, (band, one) in enumerate(zip(bands, found, strict=True))
        if band not in block.keep
    }
    counts = {"bounds": [round(low, 4), round(high, 4)], "median": round(float(np.median(found)), 4)}
    return verdicts, {**counts, "rows": dict(Counter(bands))}
