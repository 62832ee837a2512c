"""The loss of pairs that belong together."""

from typing import Any, Final

import torch

from training.tasks.exact_trainer import ExactTrainer

SHARPNESS: Final = 20.0  # cosines are multiplied by it before they compete
_PAIR: Final = "pair_"


class ContrastiveTrainer(ExactTrainer):
    """A batch has each text's tokens, those of its pair under names that begin with `pair_`, and its pair's number.

    Each text must tell its own pair from those of the other texts in the batch.
    """

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        given = {name: value for name, value in inputs.items() if name != "labels" and not name.startswith(_PAIR)}
        pairs = {name.removeprefix(_PAIR): value for name, value in inputs.items() if name.startswith(_PAIR)}
        cosines = unit_vectors(model, given) @ unit_vectors(model, pairs).T
        loss = torch.nn.functional.cross_entropy(SHARPNESS * cosines, inputs["labels"])
        return (loss, {"cosines": cosines}) if return_outputs else loss


def unit_vectors(model: Any, tokens: dict[str, Any]) -> torch.Tensor:
    """The mean of each text's last hidden states, of length one: `[rows, dimension]`."""
    hidden = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    mean: torch.Tensor = (hidden * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=-1)
