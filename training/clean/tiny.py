"""A language model of a million weights, trained on the rows themselves: for any language, in seconds to minutes."""

import random
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.clean.perplexity import encode, losses, pad, perplexities
from training.recipe.block import RecipeError
from training.recipe.clean import Hard

VOCABULARY: Final = 4096
FEWEST: Final = 20  # times that a piece must be there to be a token: what is learned of rarer ones is nothing
BATCH: Final = 8
LEAST: Final = 20  # rows
RATE: Final = 3e-3
_END: Final = "<|endoftext|>"


def cross_perplexities(texts: Sequence[str], block: Hard, seed: int) -> NDArray[np.float64]:
    """Of each text, under a model that was trained on the other folds and not on it.

    Raises RecipeError where there are too few to learn from.
    """
    if len(texts) < LEAST:
        raise RecipeError(f"clean.hard: {len(texts)} rows train no language model, {LEAST} at least: name a 'model'")
    tokenizer = _tokenizer(texts)
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    found = np.empty(len(texts))
    for fold in range(block.folds):
        scored = order[fold :: block.folds]
        hidden = set(scored)
        model = _train([texts[index] for index in order if index not in hidden], tokenizer, block, seed + fold)
        found[scored] = perplexities([texts[index] for index in scored], model, tokenizer, block)
    return found


def _tokenizer(texts: Sequence[str]) -> Any:
    """Byte pairs, so that there is no text that it cannot write."""
    pairs: Any = Tokenizer(BPE())
    pairs.pre_tokenizer = ByteLevel(add_prefix_space=False)
    pairs.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=FEWEST,
        initial_alphabet=ByteLevel.alphabet(),
        special_tokens=[_END],
        show_progress=False,
    )
    pairs.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token=_END)


def _train(texts: Sequence[str], tokenizer: Any, block: Hard, seed: int) -> Any:
    encoded = encode(texts, tokenizer, block.max_length)
    shuffle = random.Random(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=128,
                intermediate_size=384,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=block.max_length,
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
            )
        ).to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    steps = block.epochs * -(-len(encoded) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in range(block.epochs):
        for batch in _batches(encoded, shuffle):
            tokens, mask = pad(batch, model.device)
            loss = losses(model, tokens, mask).sum() / mask[:, 1:].sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def _batches(encoded: Sequence[list[int]], shuffle: random.Random) -> list[list[list[int]]]:
    """Batches of texts of similar length, in random order; texts of equal length are shuffled each time."""
    order = sorted(encoded, key=lambda one: (len(one), shuffle.random()))
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    shuffle.shuffle(batches)
    return batches
