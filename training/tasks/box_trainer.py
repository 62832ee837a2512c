"""The Trainer of models that find boxes."""

from typing import Any

from transformers import Trainer


class BoxTrainer(Trainer):
    """The model's own loss, which is a mean over the boxes of a batch.

    Its targets are no tensor, as each image has as many boxes as it has: only here are they taken along.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False  # it counts by itself
