"""How good the model is, how sure that is, and what it is compared with."""

from typing import Annotated

from pydantic import Field

from training.recipe.block import Block


class Against(Block):
    """The version that serves now, asked over HTTP in every run.

    It is the one that `alias` points at of the platform's `model` at `url`, the recipe's name unless given.
    """

    url: str = Field(pattern=r"^https?://")
    model: str | None = None
    alias: str = "stable"


class Evaluate(Block):
    """The torch model and every exported variant, on the test rows (the first `rows` of them, where given).

    `resamples` bootstrap samples of the rows give each metric's interval at `confidence`; those do not count for a
    metric on which it is not defined. `bins` are those of the reliability diagram; the metric `calibration_error` is
    always over ten, so that versions can be compared by it.
    """

    rows: int | None = Field(None, ge=1)
    resamples: int = Field(1000, ge=0, le=100_000)
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    bins: int = Field(10, ge=2, le=100)
    against: Against | None = None
