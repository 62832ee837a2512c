"""Opens a model whose weights are shared out over processes, through transformers' DistributedConfig."""

from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from training.recipe.block import RecipeError
from training.recipe.train import Distributed
from training.tasks.base import Model, Task

# Of models that bring no plan of their own: the first of two matrices is split by columns, the second by rows, so
# that one all-reduce does for both.
_PLANS: Final = {
    "bert": {
        "encoder.layer.*.attention.self.query": "colwise",
        "encoder.layer.*.attention.self.key": "colwise",
        "encoder.layer.*.attention.self.value": "colwise",
        "encoder.layer.*.attention.output.dense": "rowwise",
        "encoder.layer.*.intermediate.dense": "colwise",
        "encoder.layer.*.output.dense": "rowwise",
    }
}


def share_out(task: Task, start: Path, block: Distributed) -> Any:
    """The model in the folder `start`, of which this process holds its part; in the training mode."""
    from transformers.distributed import DistributedConfig

    opens = getattr(transformers, task.auto)
    with torch.device("meta"):
        empty = opens.from_config(transformers.AutoConfig.from_pretrained(start))
    fsdp = block.world // block.tensor
    config = DistributedConfig(
        tp_size=block.tensor,
        fsdp_size=fsdp,
        tp_plan=_tensor_plan(empty, block) if block.tensor > 1 else None,
        fsdp_plan=_layers(empty) if fsdp > 1 and not empty.fsdp_plan else None,
    )
    network = opens.from_pretrained(start, distributed_config=config).train()
    _join_tied(network)
    return network


def clip(network: nn.Module, most: float) -> float:
    """Scale the gradients so that the norm of all of them is `most` at the highest; the norm before.

    0 for `most` leaves them as they are. Gradients of different meshes have no norm in common, so it is put together
    from that of each mesh.
    """
    by_mesh: dict[Any, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.grad is not None:
            mesh = parameter.grad.device_mesh if isinstance(parameter.grad, DTensor) else None
            by_mesh.setdefault(mesh, []).append(parameter)
    norms = [nn.utils.get_total_norm([p.grad for p in those if p.grad is not None]) for those in by_mesh.values()]
    norm = torch.linalg.vector_norm(torch.stack([_gather(part) for part in norms]))
    if most > 0:
        for parameters in by_mesh.values():
            nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return float(norm)


def save(model: Model, folder: Path) -> None:
    """Write the whole model. All processes must call it; the first one writes."""
    model.network.save_pretrained(folder, is_main_process=distributed.get_rank() == 0)
    if distributed.get_rank() == 0 and model.processor is not None:
        model.processor.save_pretrained(folder)
    distributed.barrier()


def _join_tied(network: nn.Module) -> None:
    """Have FSDP keep one share of a weight that two layers have in common, such as an embedding and a decoder's head.

    transformers ties them after FSDP has taken them for two. Where the rows don't divide, the last share is padded, in
    a copy for each of them: the first layer would be computed with one that no step of the optimizer ever changes.
    """
    shares = [
        share
        for module in network.modules()
        if isinstance(module, FSDPModule)
        for group in module._get_fsdp_state()._fsdp_param_groups
        for share in group.fsdp_params
    ]
    for share in shares:
        share.reset_sharded_param()  # pads, as the first forward would: it finds that done
    padded = {id(share.sharded_param): share._sharded_param_data for share in shares}
    for share in shares:
        share._sharded_param_data = padded[id(share.sharded_param)]


def _gather(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _tensor_plan(network: Any, block: Distributed) -> "dict[str, str] | str":
    if block.plan:
        return block.plan
    if network.tp_plan:
        return "auto"
    kind = network.config.model_type
    if kind not in _PLANS:
        raise RecipeError(f"distributed.plan: transformers has no tensor parallel plan for {kind}: give one")
    prefix = f"{network.base_model_prefix}." if network.base_model is not network else ""
    return {prefix + name: style for name, style in _PLANS[kind].items()}


def _layers(network: nn.Module) -> dict[str, str]:
    """Each block of each stack of blocks is gathered for its own computation and given back after it."""
    stacks = [name for name, module in network.named_modules() if isinstance(module, nn.ModuleList)]
    return {f"{name}.*": "free_full_weight" for name in stacks}
