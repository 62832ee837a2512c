"""From a network in torch to an ONNX graph."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from transformers.exporters import OnnxConfig, OnnxExporter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MOST_BYTES = 2**31  # a protobuf file ends there, and the weights are in it
_LOUD = ("torch", "torch.__trace", "transformers", "onnxscript", "onnx_ir")


class ExportFailed(Exception):
    """The network has no ONNX form, or not the one that was asked for."""


def to_onnx(
    network: "PreTrainedModel",
    example: "Mapping[str, torch.Tensor]",
    outputs: Sequence[str],
    opset: int,
    path: Path,
) -> str:
    """Write the graph whose inputs are those of `example`, in any number and length, and whose outputs are `outputs`.

    The name of the exporter that managed it is returned. Raises ExportFailed with what each of them said.
    """
    network = network.float().eval()
    _use_plain_attention(network)
    exporters: dict[str, Callable[[], Any]] = {
        "transformers.exporters": lambda: _by_transformers(network, example, opset, _name_dimensions(example)),
        "transformers.exporters, sizes found": lambda: _by_transformers(network, example, opset, None),
        "torch.onnx": lambda: _by_torch(network, example, outputs, opset),
    }
    reasons = []
    for name, export in exporters.items():
        try:
            with _quiet(), torch.inference_mode(False), torch.no_grad():
                model = export()
                _keep(model, outputs)
        except Exception as error:  # exporters raise whatever they come upon
            reasons.append(f"{name}: {type(error).__name__}: {str(error).strip()[:500]}")
            continue
        if (size := sum(tensor.const_value.nbytes for tensor in model.graph.initializers.values())) >= MOST_BYTES:
            raise ExportFailed(f"the weights have {size / 2**30:.1f} GiB, and an ONNX file holds 2: export int4")
        onnx_ir.save(model, str(path))
        return name
    raise ExportFailed("no exporter can make an ONNX graph of it:\n" + "\n".join(reasons))


def _by_transformers(
    network: Any, example: "Mapping[str, torch.Tensor]", opset: int, shapes: dict[str, Any] | None
) -> Any:
    config = OnnxConfig(dynamic=True, dynamic_shapes=shapes, opset_version=opset)
    return OnnxExporter().export(network, dict(example), config=config).program


def _by_torch(network: Any, example: "Mapping[str, torch.Tensor]", outputs: Sequence[str], opset: int) -> Any:
    program = torch.onnx.export(
        _Outputs(network, outputs),
        kwargs=dict(example),
        input_names=list(example),
        output_names=list(outputs),
        opset_version=opset,
        dynamo=True,
        dynamic_shapes={"inputs": _name_dimensions(example)},
        verbose=False,
    )
    return program.model


class _Outputs(torch.nn.Module):
    """A network that gives its `names` alone: wrappers such as peft's are no models that transformers would know."""

    def __init__(self, network: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.network(**inputs)
        return tuple(answer[name] for name in self.names)


def _name_dimensions(example: "Mapping[str, torch.Tensor]") -> dict[str, Any]:
    """All inputs have as many rows as each other, which a worker's batches need; the exporter finds the rest."""
    rows = torch.export.Dim("batch")
    return {
        name: {0: rows, **dict.fromkeys(range(1, tensor.dim()), torch.export.Dim.AUTO)}
        for name, tensor in example.items()
    }


def _use_plain_attention(network: Any) -> None:
    # Written out, attention makes a graph that ONNX Runtime fuses better than what torch's own kernel becomes.
    with contextlib.suppress(Exception):  # where a model knows one kind alone, that one it is
        network.set_attn_implementation("eager")


def _keep(model: Any, outputs: Sequence[str]) -> None:
    """Drop the graph's other outputs, and what is computed for them alone."""
    present = [value.name for value in model.graph.outputs]
    if missing := [name for name in outputs if name not in present]:
        raise ExportFailed(f"the graph has no output {', '.join(missing)}; it has {', '.join(present)}")
    kept = [value for value in model.graph.outputs if value.name in outputs]
    del model.graph.outputs[:]
    model.graph.outputs.extend(kept)
    RemoveUnusedNodesPass()(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters tell of each step, and warn of what concerns those who wrote them."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
