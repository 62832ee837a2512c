"""NaN and infinity in what a task answers: they mean nothing in a vector or a score, and JSON has no form for them."""

import numpy as np

from model_service.engines.base import Array
from wire.errors import EngineFailed


def require_finite(results: Array, row: int | None = None) -> None:
    """Raises EngineFailed that names the row where a number is NaN or infinite.

    `results` are those of all rows of a request, or of its one `row`.
    """
    if np.isfinite(results).all():
        return
    if row is None:
        row = int(np.argmin(np.isfinite(results).all(axis=tuple(range(1, results.ndim)))))
    raise EngineFailed(f"the model answered NaN or infinity for row {row} of this request")
