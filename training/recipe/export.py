"""What is exported, and how far from the model in torch it may be."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from training.recipe.block import Block
from training.recipe.tune import Tune

Variant = Literal["fp32", "fp16", "int8", "int8-static", "int4"]

# Of the graph's outputs, and of values above one in parts of the value. A tenth of a logit moves a probability by 0.025
# at most.
TOLERANCES: Final[Mapping[Variant, float]] = {"fp32": 1e-3, "fp16": 0.05, "int8": 1.0, "int8-static": 2.0, "int4": 20.0}


class Export(Block):
    """The graph in each of `variants`, the first of which is served unless `tune` finds a better one.

    `int8` is quantised dynamically, `int8-static` after `calibration_rows` rows of the training data; `int4` is for
    decoders. On `parity_rows` held-out rows no output of a variant may be further from that of the model in torch
    than its `tolerance`, or than this part of the output where that is above one; and where the rows have labels the
    task's metric may not be worse by more than `metric_drop`.
    `fuse` has ONNX Runtime's transformer optimiser put its own operators in, where the outputs stay within tolerance.
    """

    opset: int = Field(20, ge=17, le=23)
    variants: tuple[Variant, ...] = Field(("fp32", "int8"), min_length=1)
    fuse: bool = True
    tolerance: dict[Variant, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    metric_drop: float = Field(0.02, ge=0)
    parity_rows: int = Field(256, ge=1)
    calibration_rows: int = Field(128, ge=1)
    golden_rows: int = Field(8, ge=1, le=64)
    tune: Tune | None = None

    @model_validator(mode="after")
    def _check_variants(self) -> "Export":
        if len(set(self.variants)) != len(self.variants):
            raise ValueError("variants: each may be named once")
        if self.variants == ("int4",):
            raise ValueError("variants: int4 is for onnxruntime-genai; name one that a worker runs beside it")
        return self

    def tolerance_of(self, variant: Variant) -> float:
        return self.tolerance.get(variant, TOLERANCES[variant])
