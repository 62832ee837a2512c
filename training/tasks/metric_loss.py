"""The loss of images that show the same."""

from typing import Any, Final

import torch

from training.tasks.exact_trainer import ExactTrainer

SHARPNESS: Final = 10.0  # cosines are multiplied by it before they compete


class MetricTrainer(ExactTrainer):
    """The supervised contrastive loss of Khosla et al. (2020): each image must tell those of its label from the rest.

    Images whose label no other one of the batch has are only told apart from.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"]
        pooled = model(pixel_values=inputs["pixel_values"]).pooler_output
        vectors = torch.nn.functional.normalize(pooled.flatten(1), dim=-1)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        same = (labels[:, None] == labels[None]) & ~itself
        cosines = (SHARPNESS * vectors @ vectors.T).masked_fill(itself, float("-inf"))
        shares = cosines.log_softmax(dim=1).masked_fill(~same, 0)
        paired = same.sum(dim=1)
        loss = -(shares.sum(dim=1) / paired.clamp(min=1)).sum() / (paired > 0).sum().clamp(min=1)
        return (loss, {"pooler_output": pooled}) if return_outputs else loss
