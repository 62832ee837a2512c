"""What a task is to whoever asks a model: its public tensors, its parameters, and its form in each API."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, Protocol

from wire.errors import InvalidInput
from wire.messages import InferResponse
from wire.schemas import Schema
from wire.tasks.parameter import Parameter

# What of a text model's graph makes the answer: vectors, of tokens or of whole texts; or scores of classes.
Head = Literal["vectors", "labels"]


class TextFacts(Protocol):
    """What a contract needs to know of a manifest's section `text`."""

    @property
    def normalize(self) -> bool: ...
    @property
    def activation(self) -> str: ...
    @property
    def similarity(self) -> str: ...
    @property
    def truncation_side(self) -> str | None: ...


class TensorFacts(Protocol):
    """What a contract needs to know of a model's tensor; `shape` has -1 where any size goes."""

    @property
    def shape(self) -> Sequence[int]: ...


class ModelFacts(Protocol):
    """What a contract needs to know of a model; a manifest has it."""

    @property
    def name(self) -> str: ...
    @property
    def outputs(self) -> Sequence[TensorFacts]: ...
    @property
    def text(self) -> TextFacts | None: ...


class NotComparable(Exception):
    """Two versions' answers cannot be held against each other, for a reason that is told."""


@dataclass(frozen=True, slots=True)
class PublicTensor:
    """A tensor that every model of a task takes or gives; `shape` has -1 where any size goes."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Asked:
    """What a body of the Hugging Face API asks of a model: `shape` makes the JSON of what it answers.

    `parameters` are those of the inference request.
    """

    texts: list[bytes]
    shape: Callable[[InferResponse], Any]
    parameters: dict[str, Any] = field(default_factory=dict)


class Contract:
    """One for each task. What stands here is that of tasks whose clients send the graph's own tensors."""

    name: ClassVar[str]  # what a manifest says
    about: ClassVar[str]  # for people: what goes in and what comes out
    untrained: ClassVar[str] = ""  # why no recipe trains it, where none does

    # The model
    takes_text: ClassVar[bool] = False  # its one input is texts, and its manifest has the section `text`
    head: ClassVar[Head | None] = None  # of a graph that takes text: what an importer looks for
    inputs: ClassVar[tuple[PublicTensor, ...]] = ()  # none where they are the graph's own
    outputs: ClassVar[tuple[PublicTensor, ...]] = ()
    json_rows: ClassVar[bool] = False  # the strings that it answers are JSON, one for each row
    architectures: ClassVar[tuple[str, ...]] = ()  # how the names of such classes end in transformers
    logits_rank: ClassVar[int] = 0  # of the graph's output to read, where its head is "labels"

    # A request
    parameters: ClassVar[tuple[Parameter, ...]] = ()  # of an inference request, beside its tensors
    empty: ClassVar[bytes | None] = None  # the row that says that nothing was found; None where each says something

    # The Hugging Face API: a body has `inputs` and `parameters`
    body_parameters: ClassVar[Mapping[str, Schema]] = {}
    beside: ClassVar[bool] = False  # Hugging Face's client puts the parameters beside the inputs
    body_inputs: ClassVar[Schema] = {}
    body_answer: ClassVar[Schema] = {}
    example: ClassVar[Any] = None  # of `inputs`

    # Whether the training backend can compare a new version's answers with those of the one that serves, row by row by
    # `prediction`. Of a graph's bare tensors it always can.
    comparable: ClassVar[bool] = False

    def __init__(self) -> None:
        self.reads: Final = frozenset(parameter.name for parameter in self.parameters)
        self.embeds: Final = self.head == "vectors"  # it answers a vector for each text

    def read_body(self, inputs: Any, parameters: Mapping[str, Any], model: ModelFacts) -> Asked:
        """What the `inputs` and the `parameters` of a body ask of the model. Raises InvalidInput."""
        raise InvalidInput(f"model '{model.name}' takes tensors: POST /v2/models/{model.name}/infer")

    def prediction(self, row: Any, labels: Sequence[str]) -> Any:
        """What a row of the answer says, in the form that the training backend measures, where it is `comparable`.

        `labels` are those of the model that it is held against. Raises NotComparable where it has others.
        """
        raise NotImplementedError
