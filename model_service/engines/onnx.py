"""ONNX Runtime as an engine."""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from model_service.engines.base import Array, Arrays, EngineError, OutOfMemory, ProviderMissing
from storage.manifest import EngineSettings, TensorSpec

_PROVIDERS: Final = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_EXTRAS: Final = {"cpu": "worker", "cuda": "worker-gpu", "tensorrt": "worker-tensorrt"}
# BF16 is absent: numpy has no such type, so there would be nothing to hand to the graph.
_DATATYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
# How the runtime says that memory is short; it has no exception of its own for that.
_NO_MEMORY: Final = ("bad_alloc", "Failed to allocate memory", "out of memory")
_FATAL: Final = 4  # errors arrive as exceptions: the runtime's own lines on stderr would say them twice


class OnnxEngine:
    """A session of ONNX Runtime over the graph at `path`, on `threads` threads.

    Several threads may `run` it at once; they share the session's weights and its threads.

    Raises ProviderMissing where this machine lacks a provider that the settings name, and EngineError where the
    runtime refuses the graph.
    """

    def __init__(self, path: Path, settings: EngineSettings, *, threads: int) -> None:
        # It would tell its makers of every session, unless it is told not to before it is there.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        # Imported here, as a worker without a model does without the runtime's memory.
        import onnxruntime

        onnxruntime.set_default_logger_severity(_FATAL)
        _require(settings.providers, onnxruntime.get_available_providers(), "this build of ONNX Runtime")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path),
                _session_options(onnxruntime, settings, threads),
                providers=[_PROVIDERS[provider] for provider in settings.providers],
                enable_fallback=0,
            )
        except Exception as error:  # the runtime's exceptions have no base but this one
            raise _failure(f"ONNX Runtime cannot load {path.name}", error) from error
        # A provider whose libraries or device are missing is left out by the runtime without a word.
        _require(settings.providers, self._session.get_providers(), "the session")
        self.inputs = tuple(_spec(argument) for argument in self._session.get_inputs())
        self.outputs = tuple(_spec(argument) for argument in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, inputs: Arrays) -> Arrays:
        if self._session is None:
            raise EngineError("the engine is closed")
        try:
            feeds = {name: _to_runtime(array) for name, array in inputs.items()}
            values = self._session.run(self._output_names, feeds)
        except Exception as error:
            raise _failure("ONNX Runtime", error) from error
        return {name: _from_runtime(value) for name, value in zip(self._output_names, values, strict=True)}

    def close(self) -> None:
        self._session = None


def _failure(what: str, error: Exception) -> EngineError:
    message = f"{what}: {error}"
    return OutOfMemory(message) if any(sign in message for sign in _NO_MEMORY) else EngineError(message)


def _session_options(onnxruntime: Any, settings: EngineSettings, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = settings.threads or threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    level = {"none": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED", "all": "ENABLE_ALL"}
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_{level[settings.graph_optimization]}"
    )
    # The arena keeps the largest batch's memory for good (56 MB for a small sentence model) and was no faster; the
    # patterns stand on it, and one would be kept for each shape that ever came.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A thread that spins while it waits takes its core from the other workers and the gateway: with two workers on
    # two cores, spinning cost two thirds of the throughput.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _require(providers: tuple[str, ...], present: list[str], where: str) -> None:
    for provider in providers:
        if _PROVIDERS[provider] not in present:
            raise ProviderMissing(
                f"provider '{provider}' asked for, {where} has {', '.join(present)}: install"
                f" 'headrace[{_EXTRAS[provider]}]' (without the CPU-only onnxruntime) on a machine with that device,"
                " or set the manifest's engine.providers to ['cpu']"
            )


def _spec(argument: Any) -> TensorSpec:
    if (datatype := _DATATYPES.get(argument.type)) is None:
        raise EngineError(
            f"the graph's '{argument.name}' is a {argument.type}, which cannot be served: export it as one of"
            f" {', '.join(_DATATYPES)}"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in argument.shape)
    return TensorSpec.model_validate({"name": argument.name, "datatype": datatype, "shape": shape})


def _to_runtime(array: Array) -> Array:
    # The runtime's strings are UTF-8: of `bytes` it would take the repr.
    return _each(bytes.decode, array) if array.dtype == np.object_ else array


def _from_runtime(array: Array) -> Array:
    return _each(str.encode, array) if array.dtype == np.object_ else array


def _each(convert: Any, array: Array) -> Array:
    converted = np.empty(array.size, np.object_)
    converted[:] = [convert(element) for element in array.ravel()]
    return converted.reshape(array.shape)
