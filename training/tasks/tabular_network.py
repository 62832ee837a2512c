"""A small network for rows of numbers, with a Hugging Face model's way of being saved and loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput


class TabularConfig(PreTrainedConfig):
    """`columns` in the order of the input; the classes are in `id2label`, and a regression has none."""

    model_type = "headrace-tabular"

    def __init__(
        self,
        columns: Sequence[str] = (),
        hidden_sizes: Sequence[int] = (64, 32),
        dropout: float = 0.1,
        regression: bool = False,
        **kwargs: Any,
    ) -> None:
        self.columns, self.hidden_sizes = list(columns), list(hidden_sizes)
        self.dropout, self.regression = dropout, regression
        super().__init__(**kwargs)


@dataclass
class TabularOutput(ModelOutput):
    """A class of its own: such a one can be exported by a process in which no model has answered yet."""

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None


class TabularNetwork(PreTrainedModel):
    """FP32 `features [rows, columns]` to `logits [rows, classes]`, or to `[rows, 1]` in the target's own unit.

    It gets to know the mean and the deviation of each column, and of a regression's target, while it is trained.
    """

    config_class = TabularConfig
    base_model_prefix = "network"

    def __init__(self, config: TabularConfig) -> None:
        super().__init__(config)
        width = len(config.columns)
        self.scale = nn.BatchNorm1d(width, affine=False)
        layers: list[nn.Module] = []
        for size in config.hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(config.dropout)]
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1 if config.regression else config.num_labels))
        self.target = nn.BatchNorm1d(1, affine=False) if config.regression else None
        self.post_init()

    def forward(self, features: torch.Tensor, labels: torch.Tensor | None = None) -> TabularOutput:
        values = self.layers(_scale(self.scale, features))
        if self.target is None:
            loss = None if labels is None else nn.functional.cross_entropy(values, labels)
            return TabularOutput(loss=loss, logits=values)
        loss = None if labels is None else nn.functional.mse_loss(values, _scale(self.target, labels.unsqueeze(-1)))
        deviation = (self.target.running_var + self.target.eps).sqrt()
        return TabularOutput(loss=loss, logits=values * deviation + self.target.running_mean)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()


def _scale(norm: nn.BatchNorm1d, values: torch.Tensor) -> torch.Tensor:
    """A lone row, as an epoch's last batch may be, has no deviation of its own: it is scaled by what came before it."""
    if norm.training and len(values) == 1:
        return nn.functional.batch_norm(values, norm.running_mean, norm.running_var, eps=norm.eps)
    scaled: torch.Tensor = norm(values)
    return scaled


AutoConfig.register(TabularConfig.model_type, TabularConfig)
AutoModel.register(TabularConfig, TabularNetwork)
