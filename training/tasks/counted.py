"""Over how many items a model's loss is the mean: what the losses of batches, or of shares of one, are weighed by."""

from collections.abc import Callable, Mapping
from typing import Any

Count = Callable[[Mapping[str, Any]], int]


def counts_of(network: Any) -> Count:
    """What counts a batch's items for this network: labels that are not ignored, or the rows."""
    learned = getattr(network, "peft_config", None)
    prompted = learned is not None and learned["default"].is_prompt_learning
    model = network.get_base_model() if learned else network
    config, loss = model.config, getattr(model, "loss_type", None)
    ignored = getattr(config, "semantic_loss_ignore_index", -100)
    # A decoder's first token is guessed from nothing, unless a learned prompt stands before it.
    first = int(loss in ("ForCausalLM", "ForConditionalGeneration") and not config.is_encoder_decoder and not prompted)

    def count(batch: Mapping[str, Any]) -> int:
        labels = batch.get("labels")
        if loss == "ForCTC" or not hasattr(labels, "shape"):  # a mean over rows; lists of boxes
            return len(next(iter(batch.values())))
        assert labels is not None
        return int((labels[..., first:] != ignored).sum())

    return count
