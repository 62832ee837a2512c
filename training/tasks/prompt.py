"""A learned prompt stands before the text, and nobody is to know: labels and answers are those of the text alone."""

from collections.abc import Mapping
from typing import Any, Final

import torch

from training.tasks.language import IGNORED

# By peft's type of task, what of a model's answer has a value for each token. peft hands it on with the prompt's.
_BY_TOKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "CAUSAL_LM": ("logits",),
    "TOKEN_CLS": ("logits",),
    "QUESTION_ANS": ("start_logits", "end_logits"),
    "FEATURE_EXTRACTION": ("last_hidden_state",),
}
_POSITIONS: Final = ("start_positions", "end_positions")


def hide_prompt(network: Any) -> Any:
    """The network of peft, which from now on takes labels and gives answers as if there were no prompt."""
    config = network.peft_config["default"]
    by_token = _BY_TOKEN.get(config.task_type)
    if config.is_prompt_learning and by_token is not None:
        shift = _Shift(config.num_virtual_tokens, config.task_type == "TOKEN_CLS", by_token)
        network.register_forward_pre_hook(shift.shift_targets, with_kwargs=True)
        network.register_forward_hook(shift.cut_prompt)
    return network


class _Shift:
    """By as many places as the prompt has tokens."""

    def __init__(self, learned: int, tagged: bool, by_token: tuple[str, ...]) -> None:
        self._learned, self._tagged, self._by_token = learned, tagged, by_token

    def shift_targets(self, network: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What the loss is taken against, which peft moves for language models alone."""
        moved = dict(kwargs)
        if self._tagged and moved.get("labels") is not None:
            moved["labels"] = torch.nn.functional.pad(moved["labels"], (self._learned, 0), value=IGNORED)
        for name in _POSITIONS:
            if moved.get(name) is not None:
                moved[name] = moved[name] + self._learned
        return args, moved

    def cut_prompt(self, network: Any, args: Any, output: Any) -> Any:
        for name in self._by_token:
            if output.get(name) is not None:
                output[name] = output[name][:, self._learned :]
        return output
