"""Conversations: a decoder learns to answer as the assistant does."""

from collections.abc import Mapping
from typing import Any, ClassVar

from training.recipe.block import RecipeError
from training.tasks.base import Model
from training.tasks.causal_lm import CausalLM
from training.tasks.language import answers_only
from training.tasks.text import start_tokenizer


class Chat(CausalLM):
    """The assistant's last turn, from the turns before it; the loss is on its tokens alone."""

    name = "chat"
    about = "a language model that follows instructions and answers in a conversation"
    columns: ClassVar = {"messages": "the turns, a list of {role, content}, of which the last is the assistant's"}

    def check_recipe(self, recipe: Any, config: Any) -> None:
        super().check_recipe(recipe, config)
        _require_template(start_tokenizer(recipe))

    def check_row(self, row: Mapping[str, Any]) -> None:
        *before, last = row["messages"]
        if last["role"] != "assistant" or not before:
            turns = ", ".join(message["role"] for message in row["messages"])
            raise ValueError(
                f"messages has the turns of {turns}: end it with the assistant's answer to a turn before it"
            )

    def question(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": row["messages"][:-1]}

    def start(self, recipe: Any, labels: Any) -> Model:
        model = super().start(recipe, labels)
        _require_template(model.processor)
        return model

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        ids = [_tokens(tokenizer, messages) for messages in rows["messages"]]
        return {"input_ids": ids, "attention_mask": [[1] * len(one) for one in ids]}

    def guesses(self, rows: dict[str, list[Any]], encoded: dict[str, list[Any]], tokenizer: Any) -> list[list[int]]:
        asked = [len(_tokens(tokenizer, messages[:-1], more=True)) for messages in rows["messages"]]
        return answers_only(encoded["input_ids"], asked)


def _require_template(tokenizer: Any) -> None:
    if tokenizer.chat_template is None:
        raise RecipeError("model.tokenizer: the tokenizer has no chat template, which says how turns are written")


def _tokens(tokenizer: Any, messages: "list[Mapping[str, str]]", *, more: bool = False) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=more)
    # The template writes the special tokens.
    tokens: list[int] = tokenizer(text, truncation=True, add_special_tokens=False)["input_ids"]
    return tokens
