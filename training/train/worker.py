"""One process of a distributed training. torchrun starts it: `python -m training.train.worker <spec>`."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.stage import Work
from training.train.tied import tie

if TYPE_CHECKING:
    from training.train.settings import MonitorSettings

SPEC: Final = "work.json"  # what the processes are told of the work
SAID: Final = "headrace: "  # before a line that is meant for whoever runs the recipe
FAILED: Final = "headrace failed: "  # before what a process fails of, in one line


def describe(work: Work) -> str:
    """The work as JSON, for `read` in another process."""
    return json.dumps(
        {
            "recipe": work.recipe.model_dump(mode="json", by_alias=True),
            "beside": str(work.recipe.folder),
            "folder": str(work.folder.resolve()),
            "inputs": {name: str(path.resolve()) for name, path in work.inputs.items()},
            "outcomes": dict(work.outcomes),
        }
    )


def read(text: str) -> Work:
    """What `describe` wrote."""
    from training.recipe.recipe import Recipe

    found = json.loads(text)
    recipe = Recipe.model_validate(found["recipe"])
    recipe._folder = Path(found["beside"])
    inputs = {name: Path(path) for name, path in found["inputs"].items()}
    return Work(recipe, Path(found["folder"]), inputs, found["outcomes"], _say)


def main(spec: Path) -> None:
    """Train in this process, of which there are as many as torchrun says."""
    tie(os.getppid())  # a torchrun that is killed takes none of them along, as each has a process group of its own
    import torch

    from training.train.settings import MonitorSettings

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        _train(read(spec.read_text()), MonitorSettings())
    except Exception as error:
        what = f"{type(error).__name__}: {error}".strip().replace("\n", "\\n")
        print(f"{FAILED}{what}", flush=True)
        raise
    torch.distributed.destroy_process_group()


def _train(work: Work, settings: "MonitorSettings") -> None:
    assert work.recipe.distributed is not None
    if work.recipe.distributed.strategy == "ddp":
        from training.train.fit import fit

        fit(work, settings)
    else:
        from training.train.sharded import fit_sharded

        fit_sharded(work, work.recipe.distributed, settings)


def _say(text: str) -> None:
    print(f"{SAID}{text}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
