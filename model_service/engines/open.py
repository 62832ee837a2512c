"""Which engine runs which artifact."""

from pathlib import Path

from model_service.engines.base import Engine
from model_service.engines.onnx import OnnxEngine
from storage.manifest import Manifest


def open_engine(manifest: Manifest, folder: Path, *, threads: int) -> Engine:
    """The engine for the artifact in `folder`, on `threads` threads unless its manifest says how many.

    Raises EngineError: ProviderMissing where the fault is this machine's, anything else where it is the artifact's.
    """
    match manifest.runtime:
        case "onnx":
            return OnnxEngine(folder / manifest.model, manifest.engine, threads=threads)
