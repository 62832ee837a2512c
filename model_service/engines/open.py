"""Which engine runs which artifact: the module here that is called as the manifest's `runtime` is."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from model_service.engines.base import Engine
from storage.manifest import Manifest
from wire.engines import engine_named


def open_engine(manifest: Manifest, folder: Path, *, threads: int) -> Engine:
    """The engine for the artifact in `folder`, on `threads` threads unless its manifest says how many.

    Raises EngineError: ProviderMissing where the fault is this machine's, anything else where it is the artifact's.
    """
    engine: Engine = module_of(engine_named(manifest.runtime).name).open_engine(manifest, folder, threads=threads)
    return engine


def module_of(engine: str) -> ModuleType:
    """The module of that engine, which has an `open_engine` of its own."""
    return import_module(f"model_service.engines.{engine}")
