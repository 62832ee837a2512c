"""Makes the rows of chat.yaml of the ChatterBot corpus: `python -m training.recipes.conversations`.

The corpus is YAML: lists of what is said. Those of two are a question and its answer, and are taken; of the longer ones
some go on as a conversation, and others list several answers, which nothing tells apart.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from training.data.fetch import fetch
from training.data.lines import write_lines

PACKAGE: Final = "pip:chatterbot-corpus==1.3.3!chatterbot_corpus/data/english"
SHA256: Final = "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"
# All of English but `coding`, whose answers are pages.
TOPICS: Final = (
    "ai", "botprofile", "computers", "conversations", "emotion", "food", "gossip", "greetings", "health", "history",
    "humor", "literature", "money", "movies", "politics", "psychology", "science", "sports", "tech_support", "trivia",
)  # fmt: skip
OUT: Final = Path(__file__).parent / "made" / "conversations.jsonl"


def main() -> None:
    """Write OUT, a question and its answer in each line."""
    OUT.parent.mkdir(exist_ok=True)
    rows = [row for topic in TOPICS for row in pairs(topic)]
    write_lines(rows, OUT)
    print(f"{OUT}: {len(rows)} questions and answers")


def pairs(topic: str) -> list[dict[str, Any]]:
    """Those of a topic, as messages."""
    found = yaml.safe_load(fetch(f"{PACKAGE}/{topic}.yml", SHA256).read_text(encoding="utf-8"))["conversations"]
    both = [[str(text).strip() for text in turns] for turns in found if len(turns) == 2]
    return [{"messages": [_message("user", asked), _message("assistant", said)]} for asked, said in both]


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


if __name__ == "__main__":
    main()
