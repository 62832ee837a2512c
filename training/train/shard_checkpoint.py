"""Checkpoints of a model whose weights are shared out: every process writes and reads its own part."""

import shutil
from pathlib import Path
from typing import Any

from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

from training.train.loop import Loop


def write(loop: Loop, folder: Path, step: int) -> None:
    """Write the state after `step`, and then remove the one before."""
    partial = folder / "partial"
    checkpoint.save(_state(loop), checkpoint_id=partial)
    if distributed.get_rank() == 0:
        older = list(folder.glob("step-*"))
        partial.replace(folder / f"step-{step}")
        for path in older:
            shutil.rmtree(path)
    distributed.barrier()


def resume(loop: Loop, folder: Path) -> int:
    """Take up the last state that was written: after how many steps it was, 0 where there is none."""
    if distributed.get_rank() == 0:
        shutil.rmtree(folder / "partial", ignore_errors=True)
    distributed.barrier()
    step = max((int(path.name.removeprefix("step-")) for path in folder.glob("step-*")), default=0)
    if step:
        state = _state(loop)
        checkpoint.load(state, checkpoint_id=folder / f"step-{step}")
        set_state_dict(
            loop.network, loop.optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"]
        )
        loop.forward_to(step)
    return step


def _state(loop: Loop) -> dict[str, Any]:
    model, optimizer = get_state_dict(loop.network, loop.optimizer)
    return {"model": model, "optimizer": optimizer}
