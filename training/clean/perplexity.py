"""How hard a text is to predict for a language model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.recipe.block import RecipeError
from training.recipe.clean import Hard
from training.tasks.source import pin_source


def open_model(block: Hard, beside: Path) -> tuple[Any, Any]:
    """The language model that the block names, and its tokenizer."""
    assert block.model is not None, "without a name there is none to open"
    source, options = pin_source(block.model, block.revision, beside, block.gguf_file)
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    if _start(tokenizer) is None:
        raise RecipeError(f"clean.hard.model: {block.model} has no token that begins or ends a text")
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def encode(texts: Sequence[str], tokenizer: Any, max_length: int) -> list[list[int]]:
    """Each text's tokens behind one that begins it, so that its first one is predicted too."""
    encoded = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=max_length - 1)
    start: Any = _start(tokenizer)
    return [[start, *tokens] for tokens in encoded["input_ids"]]


def pad(encoded: Sequence[Sequence[int]], device: Any = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and their mask, [batch, the longest]."""
    longest = max(map(len, encoded))
    tokens = torch.tensor([[*one, *[0] * (longest - len(one))] for one in encoded], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in encoded], device=device)
    return tokens, mask


def losses(model: Any, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Of each token but the first, in nats, [batch, the longest - 1]; zero where the mask is."""
    logits = model(input_ids=tokens, attention_mask=mask).logits[:, :-1]
    return cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none") * mask[:, 1:]


def perplexities(texts: Sequence[str], model: Any, tokenizer: Any, block: Hard) -> NDArray[np.float64]:
    """Of each text: e to the mean loss of its tokens."""
    encoded = encode(texts, tokenizer, block.max_length)
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))  # so that little is padded
    found = np.empty(len(texts))
    for at in range(0, len(order), block.batch_size):
        picked = order[at : at + block.batch_size]
        tokens, mask = pad([encoded[index] for index in picked], model.device)
        with torch.inference_mode():
            mean = losses(model, tokens, mask).double().sum(1) / mask[:, 1:].sum(1).clamp(min=1)
        found[picked] = mean.exp().cpu().numpy()
    return found


def _start(tokenizer: Any) -> int | None:
    token: int | None = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return token
