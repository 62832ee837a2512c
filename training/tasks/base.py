"""What a task is to the training backend: from rows to what a model is fed, and from its answers to figures.

A task has no state. What it works on is a `Model`: weights and what stands around them. Where answers are wanted it
takes a `Run` beside it, which is `eager(model)` for the torch model itself, or a session of an exported variant: the
same rows then go through the same steps on both.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from training.tasks.network import load

if TYPE_CHECKING:
    import torch
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, Trainer, TrainingArguments

    from training.recipe.recipe import Recipe

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]  # a graph's inputs to its outputs, by name


@dataclass(frozen=True)
class Model:
    """A Hugging Face model, and its tokenizer or image processor; `network` may be one of peft's around it."""

    network: "PreTrainedModel"
    processor: Any

    @property
    def config(self) -> Any:
        """The model's configuration, its labels among it."""
        return self.network.config

    @property
    def labels(self) -> list[str]:
        """The classes in the order of the logits."""
        return [self.config.id2label[index] for index in range(len(self.config.id2label))]


class Task(ABC):
    """One file for each."""

    name: ClassVar[str]  # what a recipe says
    about: ClassVar[str]  # a line for `headrace train templates`
    columns: ClassVar[Mapping[str, str]]  # that the rows must have, with what is in them
    wanted: ClassVar[tuple[str, ...]] = ("label",)  # of the columns, those that a model is to tell from the others
    auto: ClassVar[str]  # the class of transformers that opens the model
    numeric_rows: ClassVar[bool] = False  # in columns that `model.config.columns` names
    peft: ClassVar[str | None] = None  # of peft.TaskType
    served_as: ClassVar[str] = "tensors"  # what the manifest says: of the tasks in `wire.tasks`
    outputs: ClassVar[tuple[str, ...]] = ("logits",)  # of the exported graph, among what the model's forward gives
    targets: ClassVar[tuple[str, ...]] = ("labels",)  # of the features, what the loss is taken against
    tensors_only: ClassVar[bool] = True  # in a batch; no lists of tensors
    metrics: ClassVar[tuple[str, ...]]  # what `measure` gives, by name
    metric: ClassVar[str]  # of these: what versions are compared by
    higher_is_better: ClassVar[bool] = True

    def check_recipe(self, recipe: "Recipe", config: Any) -> None:
        """Raises RecipeError where the recipe asks what this task, or a model of that configuration, cannot do."""
        return

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError, with what to do, where the columns of a row don't fit together; each is of its kind."""
        return

    def check_labels(self, labels: Collection[str]) -> None:
        """Raises ValueError, with what is amiss, where `metric` is not defined on rows that have these labels alone."""
        return

    def question(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What of a row a model is given to answer: rows that are equal in it do not lie in two splits."""
        return {name: value for name, value in row.items() if name not in self.wanted}

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        """The classes, in the order of the logits; none where the task knows no classes."""
        return ()

    def own_labels(self, model: Model) -> Sequence[str]:
        """What this model was started with, however the rows have changed since; of a task that knows no classes the
        names that the library gives them."""
        return model.labels

    @abstractmethod
    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        """What training starts from: the recipe's base, or weights drawn anew for its config."""

    def plain_processor(self, recipe: "Recipe") -> Any:
        """What the recipe's `model.processor` changes, as it is without; None of a task without images or sounds."""
        return None

    def load(self, folder: Path) -> Model:
        """A model that `save` wrote, in the eval mode."""
        return Model(load(self.auto, folder), self.load_processor(folder))

    def load_processor(self, folder: Path) -> Any:
        """The tokenizer or image processor alone of what `save` wrote; None where the task has none."""
        return None

    def save(self, model: Model, folder: Path) -> None:
        """Write a complete Hugging Face folder."""
        model.network.save_pretrained(folder)
        if model.processor is not None:
            model.processor.save_pretrained(folder)

    @abstractmethod
    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        """What the Trainer is fed: the columns that the model's forward takes, `targets` among them."""

    def held_out_features(self, rows: "Dataset", model: Model) -> "Dataset":
        """The same of the rows that the validation loss is taken on: nothing about it is drawn anew each time."""
        return self.features(rows, model)

    @abstractmethod
    def collator(self, model: Model) -> Any:
        """Makes a batch of features."""

    def arguments(self) -> "type[TrainingArguments]":
        """The class that the recipe's `train` block goes to."""
        import transformers

        kind: type[TrainingArguments] = transformers.TrainingArguments
        return kind

    def trainer(self) -> "type[Trainer]":
        """The Trainer that knows the task's loss; the model's own loss, as it is here."""
        from training.tasks.exact_trainer import ExactTrainer

        return ExactTrainer

    def eager(self, model: Model) -> Run:
        """The torch model, to be asked as its exported graph is."""
        import torch

        def run(inputs: Arrays) -> Arrays:
            device = model.network.device
            tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
            with torch.inference_mode():
                outputs = model.network.eval()(**tensors)
            return {name: outputs[name].float().cpu().numpy() for name in self.outputs}

        return run

    @abstractmethod
    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[Any]:
        """An answer for each row, in the form that `measure` reads. `model` may have other weights than `run`."""

    @abstractmethod
    def measure(self, predictions: Sequence[Any], rows: "Dataset") -> dict[str, float]:
        """The metrics of the predictions for these rows."""

    @abstractmethod
    def example(self, model: Model, rows: "Dataset") -> "dict[str, torch.Tensor]":
        """A batch of the rows as the graph's inputs, for the export: of two rows or more, padded where lengths vary."""

    @abstractmethod
    def serving(self, model: Model) -> dict[str, Any]:
        """The fields of the manifest that say how it is served: task, inputs, outputs, text ..."""

    @abstractmethod
    def golden(self, run: Run, model: Model, rows: "Dataset") -> list[tuple[Any, Any]]:
        """For each row the public input and the public output, as tensors in the Open Inference Protocol's JSON.

        A list of tensors stands where there are several.
        """
