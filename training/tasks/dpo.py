"""Preferences: a decoder learns which of two answers is wanted, by direct preference optimisation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from training.tasks.base import Model, Run
from training.tasks.causal_lm import CausalLM
from training.tasks.language import answers_only

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer, TrainingArguments

    from training.recipe.recipe import Recipe


class DPO(CausalLM):
    """trl's DPOTrainer: the recipe's `train` block goes to its DPOConfig, `beta` and `loss_type` among it."""

    name = "dpo"
    about = "a language model that gives the answers which people prefer"
    columns: ClassVar = {
        "prompt": "what is asked",
        "chosen": "the answer that is wanted",
        "rejected": "the one that is not",
    }
    wanted = ("chosen", "rejected")
    targets = ()
    metrics = ("accuracy", "margin")
    metric = "accuracy"
    higher_is_better = True

    def check_row(self, row: Mapping[str, Any]) -> None:
        if row["chosen"].strip() == row["rejected"].strip():
            raise ValueError("chosen and rejected are the same answer, which prefers none: remove it")

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        model = super().start(recipe, labels)
        if model.processor.eos_token is None:  # with which trl ends every answer
            model.processor.eos_token = model.processor.convert_ids_to_tokens(model.config.eos_token_id)
        return model

    def arguments(self) -> "type[TrainingArguments]":
        import trl

        kind: type[TrainingArguments] = trl.DPOConfig
        return kind

    def trainer(self) -> "type[Trainer]":
        from training.tasks.preference import PreferenceTrainer

        return PreferenceTrainer

    def encode(self, rows: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
        pairs = zip(rows["prompt"], rows["text"], strict=True)
        tokens = tokenizer([asked + said for asked, said in pairs], truncation=True)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def guesses(self, rows: dict[str, list[Any]], encoded: dict[str, list[Any]], tokenizer: Any) -> list[list[int]]:
        asked = tokenizer(rows["prompt"], truncation=True)["input_ids"]
        special = tokenizer.num_special_tokens_to_add(False)
        return answers_only(encoded["input_ids"], [len(ids) - special for ids in asked])

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        return rows.select_columns(list(self.columns))  # which trl makes tokens of

    def collator(self, model: Model) -> None:
        return None  # trl has its own

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[float]:  # type: ignore[override]
        """By how much the chosen answer's log likelihood is above the rejected one's."""
        chosen, rejected = (
            super(DPO, self).predict(run, model, rows.select_columns(["prompt", side]).rename_column(side, "text"))
            for side in ("chosen", "rejected")
        )
        return [no.loss - yes.loss for yes, no in zip(chosen, rejected, strict=True)]

    def measure(self, predictions: Sequence[float], rows: "Dataset") -> dict[str, float]:  # type: ignore[override]
        """How often the chosen answer is the likelier one, and by how much, in nats."""
        return {
            "accuracy": sum(one > 0 for one in predictions) / len(predictions),
            "margin": sum(predictions) / len(predictions),
        }

    def example(self, model: Model, rows: "Dataset") -> Any:
        return super().example(model, rows.select_columns(["prompt", "chosen"]).rename_column("chosen", "text"))
