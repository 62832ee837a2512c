"""Opens an artifact as a `LoadedModel`: its engine, what stands around it, and where its requests run."""

from pathlib import Path
from typing import Any

from model_service.engines.base import OUTPUT_BYTES, Engine
from model_service.engines.process import START_S, ProcessEngine
from model_service.isolation import Isolation
from model_service.loaded_model import LoadedModel
from storage.manifest import Manifest
from wire.refusals import Refusals


def open_here(name: str, number: int, manifest: Manifest, folder: Path, *, threads: int) -> LoadedModel:
    """Load the artifact in `folder`, whose engine instances share `threads` threads, into this process. Blocks.

    Raises EngineError, and what the task raises where its files are wrong.
    """
    # Imported here, as a worker does without ONNX Runtime's memory.
    from model_service.engines.open import open_engine

    return _open(name, number, manifest, folder, open_engine(manifest, folder, threads=_each(threads, manifest)))


def open_isolated(
    name: str,
    number: int,
    manifest: Manifest,
    folder: Path,
    *,
    threads: int,
    start_s: float = START_S,
    output_bytes: int = OUTPUT_BYTES,
) -> LoadedModel:
    """As `open_here`, but the engine runs in a process of its own, and suspects in another.

    Each of them is loaded within `start_s`, and answers `output_bytes` at most.
    """
    threads = _each(threads, manifest)
    refusals = Refusals()
    limits: Any = {"threads": threads, "start_s": start_s, "output_bytes": output_bytes}
    isolation = Isolation(manifest, folder, refusals=refusals, **limits)
    engine = ProcessEngine(manifest, folder, **limits)
    return _open(name, number, manifest, folder, engine, isolation, refusals)


def _open(name: str, number: int, manifest: Manifest, folder: Path, engine: Engine, *apart: Any) -> LoadedModel:
    from model_service.tasks.open import open_task  # with the tokenizers' memory

    try:
        return LoadedModel(name, number, manifest, engine, open_task(manifest, folder, engine), *apart)
    except BaseException:
        engine.close()
        raise


def _each(threads: int, manifest: Manifest) -> int:
    """The threads of one of the engine's instances."""
    return max(1, threads // manifest.engine.instances)
