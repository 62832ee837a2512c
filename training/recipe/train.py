"""The blocks of a recipe that say which model is trained, which part of it, and over how many processes."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from training.recipe.block import Block


class ModelBlock(Block):
    """What training starts from: the weights of `base`, or weights drawn anew for `config`.

    `base` and `tokenizer` are a folder, a name on the hub, or `package:<import name>/<path>` for a folder inside an
    installed Python package. `revision` and `tokenizer_revision` are the commit, the tag or the branch of those on the
    hub: without one, what the hub has on that day is taken. `config` goes to the model type's own configuration class
    as it is. Beside a `base` it changes what that brings; without one it is the whole, `model_type` among it (`bert`,
    `resnet`, `llama` ...).
    """

    base: str | None = None
    revision: str | None = Field(None, min_length=1)  # of the base, and so of the tokenizer and processor it brings
    config: dict[str, Any] = Field({})
    tokenizer: str | None = None  # where the base brings none, or there is no base
    tokenizer_revision: str | None = Field(None, min_length=1)
    processor: dict[str, Any] = Field({})  # of the image processor or feature extractor, over what the base brings
    labels: tuple[str, ...] = ()  # in this order; as found in the rows, sorted, without
    max_length: int = Field(256, ge=2)  # in tokens; longer ones are cut
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    gguf_file: str | None = None  # of the base's folder

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.base is None and "model_type" not in self.config:
            raise ValueError("needs 'base', whose weights to start from, or a 'config' with its model_type: bert ...")
        if self.revision is not None and self.base is None:
            raise ValueError("revision: is that of a 'base' on the hub, and there is none")
        if self.tokenizer_revision is not None and self.tokenizer is None:
            raise ValueError("tokenizer_revision: is that of a 'tokenizer'; the one that a base brings has the base's")
        return self


class Peft(Block):
    """Train a few weights beside the model's own, which stay as they are.

    All keys but `type` go to peft.LoraConfig (`lora`) or peft.PromptTuningConfig (`prompt-tuning`) as they are.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["lora", "prompt-tuning"]

    @property
    def options(self) -> dict[str, Any]:
        """What goes to peft."""
        return dict(self.model_extra or {})


class Distributed(Block):
    """Training over several processes, started with torchrun.

    `ddp` keeps all weights in each process and shares the rows out; `fsdp` shares the weights out as well; `tensor`
    splits each matrix over `tensor` processes; `hybrid` does `fsdp` over groups of `tensor` processes. The number of
    processes is `nodes` times `processes`.
    """

    strategy: Literal["ddp", "fsdp", "tensor", "hybrid"] = "ddp"
    processes: int = Field(2, ge=1, description="on each node")
    tensor: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    rendezvous: str | None = Field(None, pattern=r"^[^\s:]+:\d+$")  # host:port of the first node, where there are more
    backend: Literal["gloo", "nccl"] | None = None  # nccl where there are GPUs, without
    threads: int = Field(1, ge=1)  # of each process, on CPUs
    plan: dict[str, str] = Field(
        {}
    )  # transformers' tensor parallel plan, where the model has none or another one is wanted

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.nodes > 1 and self.rendezvous is None:
            raise ValueError("several nodes need 'rendezvous', the host:port of the first")
        if self.strategy in ("ddp", "fsdp") and self.tensor != 1:
            raise ValueError(f"'tensor' is for the strategies tensor and hybrid, not {self.strategy}")
        if self.strategy == "tensor" and self.tensor != self.world:
            raise ValueError(f"the strategy tensor splits over all {self.world} processes: tensor must be {self.world}")
        if self.strategy == "hybrid" and not (1 < self.tensor < self.world and self.world % self.tensor == 0):
            raise ValueError(f"the strategy hybrid needs a 'tensor' that divides {self.world} processes, 1 excluded")
        if self.plan and self.tensor == 1:
            raise ValueError("'plan' says how matrices are split, which the strategies tensor and hybrid do")
        return self

    @property
    def world(self) -> int:
        """How many processes there are in all."""
        return self.nodes * self.processes
