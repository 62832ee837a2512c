"""`python -m loadtests.reload FOLDER N`: load the artifact there, let it answer its golden cases, unload it, N times.

Prints a JSON list: resident MB before the first round, with the runtime's libraries loaded, and after each round. It
imports what a worker does and no more, so that the process is one like a worker's.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

# These stay once they are loaded, and a worker loads them with its first model; what is measured is what models leave.
import onnxruntime  # noqa: F401
import tokenizers  # noqa: F401

from loadtests.processes import resident_mb
from model_service import memory
from model_service.opening import open_here
from model_service.warmup import warm_up
from storage.manifest import Manifest


async def reload(folder: Path, rounds: int) -> list[float]:
    """Resident MB at the start and after each round."""
    memory.use_one_arena()
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    memory.give_back()
    resident = [resident_mb(os.getpid())]
    for _ in range(rounds):
        model = await asyncio.to_thread(
            open_here, manifest.name, 1, manifest, folder, threads=len(os.sched_getaffinity(0))
        )
        await warm_up(model, folder)
        await model.close()
        del model
        await asyncio.to_thread(memory.give_back)
        resident.append(resident_mb(os.getpid()))
    return resident


if __name__ == "__main__":
    print(json.dumps(asyncio.run(reload(Path(sys.argv[1]), int(sys.argv[2])))))
