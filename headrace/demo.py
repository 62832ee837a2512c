"""The demo models: made by `training`, once, and registered as any other model is."""

import asyncio
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

from headrace import tether
from headrace.errors import CommandError
from headrace.local_registry import LocalRegistry, explain_storage_errors
from storage.importers import import_model

DEMO_MODELS = ("digits", "minilm")


async def register_demo(name: str, registry: LocalRegistry, scratch: Path) -> bool:
    """Make the model and register it; False, at once, where the registry has a model of that name already."""
    if name in {model.name for model in await registry.models()}:
        return False
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{name}-") as folder:
        made = Path(folder) / name
        await _make(name, made)
        with explain_storage_errors():
            imported = await asyncio.to_thread(import_model, made, name)
        await registry.add(imported, None)
    return True


async def _make(name: str, folder: Path) -> None:
    if importlib.util.find_spec("training") is None:
        raise CommandError("the demo models' makers are not installed", "install headrace[local,demo]")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid())),
        *(sys.executable, "-m", "training", name, "--out", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = output.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise CommandError(
            f"making the demo model {name} failed: {said[-1]}", "start without --demo, or install headrace[local,demo]"
        )
