"""ONNX Runtime as an engine."""

import os
import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from model_service.engines import tensorrt
from model_service.engines.base import Array, Arrays, Engine, EngineError, OutOfMemory, ProviderMissing
from model_service.engines.cancel import CancelToken
from model_service.engines.plain import clean_message
from storage.manifest import EngineSettings, Manifest, TensorSpec

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
_NO_LOCALE: Final = re.compile(r"Failed to construct locale with name:\s*([\w@.-]+?):")
_FATAL: Final = 4  # errors arrive as exceptions: the runtime's own lines on stderr would say them twice


class OnnxEngine:
    """A session of ONNX Runtime over the graph at `path`, on `threads` threads.

    Several threads may `run` it at once; they share the session's weights and its threads. What TensorRT builds is kept
    in the folder `built`, or else beside the graph's own folder.

    Raises ProviderMissing where this machine lacks a provider that the settings name, and EngineError where the
    runtime refuses the graph.
    """

    def __init__(self, path: Path, settings: EngineSettings, *, threads: int, built: Path | None = None) -> None:
        # It would tell its makers of every session, unless it is told not to before it is there.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        # Imported here, as a worker without a model does without the runtime's memory.
        import onnxruntime

        onnxruntime.set_default_logger_severity(_FATAL)
        _require(settings.providers, onnxruntime.get_available_providers(), "this build of ONNX Runtime")
        built = built or tensorrt.cache_of(path.parent)
        self._folders = (path.parent, built)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path),
                _session_options(onnxruntime, settings, threads),
                providers=_with_options(settings, built),
                enable_fallback=0,
            )
        except Exception as error:  # the runtime's exceptions have no base but this one
            raise self._failure(f"ONNX Runtime cannot load {path.name}", error) from error
        # A provider whose libraries or device are missing is left out by the runtime without a word.
        _require(settings.providers, self._session.get_providers(), "the session")
        self.inputs = tuple(_spec(argument) for argument in self._session.get_inputs())
        self.outputs = tuple(_spec(argument) for argument in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]
        self._run_options = onnxruntime.RunOptions

    def run(self, inputs: Arrays, cancel: CancelToken | None = None) -> Arrays:
        if self._session is None:
            raise EngineError("the engine is closed")
        options = self._run_options()

        def stop() -> None:
            options.terminate = True  # looked at before each of the graph's operators, in subgraphs too

        try:
            feeds = {name: _to_runtime(array) for name, array in inputs.items()}
            with (cancel or CancelToken()).stopping(stop):
                values = self._session.run(self._output_names, feeds, options)
        except Exception as error:
            raise self._failure("ONNX Runtime", error) from error
        return {name: _from_runtime(value) for name, value in zip(self._output_names, values, strict=True)}

    def close(self) -> None:
        self._session = None

    def _failure(self, what: str, error: Exception) -> EngineError:
        """The runtime's error as ours: here its text becomes what clients are told."""
        message = f"{what}: {clean_message(str(error), *self._folders)}"
        if (locale := _NO_LOCALE.search(message)) is not None:
            name, language = locale[1], locale[1].partition(".")[0]
            return ProviderMissing(
                f"the graph changes letters by the rules of the locale {name}, which this machine lacks: install it, as"
                f" by `apt install locales` and `localedef -i {language} -f UTF-8 {name}`"
            )
        return OutOfMemory(message) if any(sign in message for sign in _NO_MEMORY) else EngineError(message)


def _with_options(settings: EngineSettings, built: Path) -> list[tuple[str, dict[str, str]]]:
    return [
        (_PROVIDERS[provider], tensorrt.options_of(settings.tensorrt, built) if provider == "tensorrt" else {})
        for provider in settings.providers
    ]


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
    if array.dtype == np.object_:  # the runtime's strings are UTF-8: of `bytes` it would take the repr
        return _each(bytes.decode, array)
    return np.require(array, requirements="A")  # a tensor may begin anywhere in the body that it came in


def _from_runtime(array: Array) -> Array:
    return _each(str.encode, array) if array.dtype == np.object_ else array


def _each(convert: Any, array: Array) -> Array:
    converted = np.empty(array.size, np.object_)
    converted[:] = [convert(element) for element in array.ravel()]
    return converted.reshape(array.shape)


def open_engine(manifest: Manifest, folder: Path, *, threads: int) -> Engine:
    """The engine for the artifact in `folder`. Raises as OnnxEngine does."""
    return OnnxEngine(folder / manifest.model, manifest.engine, threads=threads, built=tensorrt.cache_of(folder))
