"""The table of engines: what a manifest's `runtime` may be, and what is told of each."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What everybody knows of an engine. What runs its graphs is the module of its name in `model_service/engines`.

    `title` is for people. `suffix` ends the names of files that it reads as graphs, and `platform` is its name in the
    Open Inference Protocol. It comes with one of the `packages`, whose version a trial speaks for.
    """

    name: str
    title: str
    suffix: str
    platform: str
    packages: tuple[str, ...]


ENGINES: Final[tuple[EngineFacts, ...]] = (
    EngineFacts("onnx", "ONNX Runtime", ".onnx", "onnxruntime_onnx", ("onnxruntime", "onnxruntime-gpu")),
)
_BY_NAME: Final = {engine.name: engine for engine in ENGINES}


def engine_named(name: str) -> EngineFacts:
    """Raises ValueError, with those that there are, where there is none."""
    if (engine := _BY_NAME.get(name)) is None:
        raise ValueError(f"there is no engine {name!r:.80}; there are {', '.join(_BY_NAME)}")
    return engine
