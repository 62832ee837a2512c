"""The recipe's `train` block, as transformers' TrainingArguments, and the Trainer that goes by it."""

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.recipe.block import RecipeError, all_of, check_keys
from training.tasks.base import Model, Task
from training.train.values import check_values

if TYPE_CHECKING:
    from transformers import Trainer, TrainingArguments

    from training.recipe.recipe import Recipe

# Where the recipe says nothing. Every other default is the library's.
DEFAULTS: Final[dict[str, Any]] = {
    "max_grad_norm": 1.0,
    "warmup_steps": 0.1,  # of all steps
    "logging_steps": 1,
    "logging_nan_inf_filter": False,  # it would hide a NaN from the log and its alert
    "eval_strategy": "steps",
    "eval_steps": 0.1,  # of all steps
    "save_total_limit": 2,
    "report_to": "none",
    "bf16": False,  # which trl would choose by itself
}
OWNED: Final = ("output_dir", "seed", "data_seed", "resume_from_checkpoint", "remove_unused_columns", "label_names")


def arguments(recipe: "Recipe", task: Task, folder: Path) -> "TrainingArguments":
    """What the Trainer goes by. Raises RecipeError where a key or a value of the block is not one of its class."""
    import torch

    given, kind = recipe.train, task.arguments()
    known = {field.name for field in fields(kind) if field.init}
    all_of(
        lambda: check_keys(given, known - set(OWNED), "train", f"transformers.{kind.__name__}"),
        lambda: check_values({key: value for key, value in given.items() if key in known}, kind, "train"),
    )
    chosen = {**DEFAULTS, **given}
    # The best checkpoint can only be kept where each one that is saved has been evaluated.
    chosen.setdefault("save_strategy", chosen["eval_strategy"] if chosen["eval_strategy"] != "no" else "steps")
    chosen.setdefault("save_steps", chosen["eval_steps"])
    chosen.setdefault("load_best_model_at_end", chosen["eval_strategy"] != "no")
    if chosen["load_best_model_at_end"]:
        chosen.setdefault("metric_for_best_model", "eval_loss")
    cuda = torch.cuda.is_available()
    chosen.setdefault("use_cpu", not cuda)  # without it transformers refuses bf16 on a CPU
    chosen.setdefault("dataloader_pin_memory", cuda)
    if recipe.distributed is not None and "WORLD_SIZE" in os.environ:  # else there is nobody to talk to
        chosen.setdefault("ddp_backend", recipe.distributed.backend or ("nccl" if cuda else "gloo"))
    chosen.setdefault("disable_tqdm", True)  # the stage says what happens
    try:
        return kind(
            output_dir=str(folder),
            seed=recipe.seed,
            data_seed=recipe.seed,
            remove_unused_columns=False,
            label_names=list(task.targets),
            **chosen,
        )
    except (TypeError, ValueError) as error:
        raise RecipeError(f"train: {error}") from error


def trainer_for(
    task: Task, model: Model, options: "TrainingArguments", train: Any, validation: Any, collator: Any
) -> "Trainer":
    """The task's Trainer, without its printing."""
    from transformers import PrinterCallback, Trainer

    trainer = task.trainer()(
        model=model.network,
        args=options,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator,
        processing_class=model.processor,
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.model_accepts_loss_kwargs:
        own = type(trainer).compute_loss is not Trainer.compute_loss  # a task's own loss is a mean over the batch
        trainer.model_accepts_loss_kwargs = not own and divides_by_count(trainer)
    return trainer


def divides_by_count(trainer: "Trainer") -> bool:
    """Whether the model divides its loss by the number of items that it is told.

    The Trainer takes it for granted wherever the forward has `**kwargs`, and multiplies the loss by the number of
    processes: of a model that takes them and means nothing by it, the loss and the gradients came out that many times
    too large, and those of accumulated batches as many times as there are.
    """
    import torch
    from accelerate.utils import send_to_device

    network, was = trainer.model, trainer.model.training
    network.eval()  # without dropout, so that no random numbers are used up
    # A batch may hold more than tensors: of boxes each image has as many as it has.
    batch = send_to_device(trainer.data_collator([trainer.train_dataset[0]]), network.device)
    with torch.no_grad():
        losses = [float(network(**batch, num_items_in_batch=count).loss) for count in (1, 2)]
    network.train(was)
    return losses[0] != losses[1]


def precision(arguments: "TrainingArguments") -> str:
    """The number format that the forward pass computes in, where it may."""
    return "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "fp32"
