"""What the tasks share that answer vectors: what a request may ask of the model, and the vectors of an answer."""

from array import array
from collections.abc import Mapping
from typing import Any, Final

from wire.errors import EngineFailed, InvalidInput
from wire.schemas import Schema
from wire.tasks.contract import ModelFacts
from wire.tasks.parameter import Count, Given, Name
from wire.tensors import Tensor

DIMENSIONS: Final = Count(
    "dimensions", "How many numbers of a vector are wanted, from the first on; all of them without it."
)
PROMPT_NAME: Final = Name(
    "prompt_name", "Which of the model's prompts goes before each text; the model's own default without it."
)
# What a request may ask of a sentence model itself, in every text protocol.
OF_MODEL: Final[Mapping[str, Schema]] = {one.name: one.schema for one in (DIMENSIONS, PROMPT_NAME)}


def model_parameters(asked: Given, model: ModelFacts) -> dict[str, Any]:
    """What a request asks of the model itself: the prompt before its texts, and how many numbers of a vector.

    Raises InvalidInput where the model has no so long vectors; it knows its prompts itself.
    """
    given = {name: asked[name] for name in ("prompt_name", "dimensions") if asked.get(name) is not None}
    wanted, own = given.get("dimensions"), model.outputs[0].shape[-1]
    if wanted is not None and (type(wanted) is not int or wanted < 1 or wanted > own >= 0):
        raise InvalidInput(f"the vectors of model '{model.name}' have {own} dimensions: ask for 1 to {own} of them")
    if wanted == own:
        del given["dimensions"]  # the same answer as without, from the same place in the cache
    return given


def vectors_of(tensor: Tensor) -> list["array[float]"]:
    """The rows of an FP32 tensor of shape [n, dim]. Raises EngineFailed where it is none."""
    if tensor.datatype != "FP32" or len(tensor.shape) != 2:
        raise EngineFailed(f"the model answered {tensor.datatype} of shape {list(tensor.shape)}, not vectors")
    values = array("f")
    values.frombytes(tensor.data)
    return [values[at : at + tensor.shape[1]] for at in range(0, len(values), tensor.shape[1])]
