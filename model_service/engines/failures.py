"""Engine errors as JSON, to cross from the engine's process to the worker."""

from pathlib import Path
from typing import Any

from model_service.engines import base
from model_service.engines.base import EngineError
from model_service.engines.plain import clean_message


def describe(error: Exception, folder: Path) -> dict[str, Any]:
    """The error as JSON for `restore`; files in `folder` are named as the artifact names them."""
    message = clean_message(str(error) or repr(error), folder)
    return {"error": type(error).__name__, "message": message, "machine": isinstance(error, ImportError | OSError)}


def restore(about: dict[str, Any]) -> EngineError:
    """The error in this process, of the same class where it was an EngineError."""
    kind = getattr(base, about["error"], EngineError)
    error = kind(about["message"]) if issubclass(kind, EngineError) else EngineError(about["message"])
    if about["machine"]:
        error.__cause__ = OSError(about["message"])
    return error
