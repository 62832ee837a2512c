"""How a Triton configuration has ONNX Runtime run the graph, as this manifest's engine settings."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from storage.errors import InvalidArtifact

# What Triton's ONNX Runtime backend makes of the levels.
_LEVELS: Final = {-1: "basic", 0: "all", 1: "extended", 2: "none"}
# Of the backend's own parameters: how it keeps memory and shares sessions, which no answer depends on.
_HARMLESS_PARAMETERS: Final = frozenset(
    (
        "arena_extend_strategy",
        "cudnn_conv_algo_search",
        "enable_mem_arena",
        "enable_mem_pattern",
        "gpu_mem_limit",
        "inter_op_thread_count",
        "session.use_device_allocator_for_initializers",
        "share_session_between_instances",
    )
)
_PROFILES: Final = {f"trt_profile_{bound}_shapes": bound for bound in ("min", "opt", "max")}
_HARMLESS_TENSORRT: Final = frozenset(
    (
        "max_workspace_size_bytes",
        "trt_build_heuristics_enable",
        "trt_builder_optimization_level",
        "trt_context_memory_sharing_enable",
        "trt_cuda_graph_enable",
        "trt_detailed_build_log",
        # Engines are kept, always, in a folder of the worker's own.
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_force_sequential_engine_build",
        "trt_force_timing_cache",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
    )
)


def engine_of(config: Any, source: str) -> dict[str, Any]:
    """The engine settings of the `ModelConfig`. Raises InvalidArtifact where it asks for what is not served."""

    def refuse(what: str, advice: str) -> InvalidArtifact:
        return InvalidArtifact(f"{source} has what is not served: {what}: {advice}")

    settings = _parameters(config.parameters, refuse) | _instances(config.instance_group, refuse)
    if (level := config.optimization.graph.level) not in _LEVELS:
        raise refuse(f"optimization.graph.level {level}", "it is -1, 0, 1 or 2")
    if level:
        settings["graph_optimization"] = _LEVELS[level]
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    return settings | _read_accelerators(accelerators, settings.get("providers"), refuse)


_Refuse = Callable[[str, str], InvalidArtifact]


def _parameters(parameters: Mapping[str, Any], refuse: _Refuse) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, parameter in parameters.items():
        value = parameter.string_value
        match key:
            case "intra_op_thread_count" if value.isascii() and value.isdigit() and len(value) < 5:
                settings["threads"] = int(value)
            case "execution_mode" if value == "0":
                pass  # as everything runs here
            case "intra_op_thread_count" | "execution_mode":
                raise refuse(f"parameters.{key} {value!r:.40}", "operators run in turn, on 0 to 1024 threads")
            case _ if key not in _HARMLESS_PARAMETERS:
                raise refuse(f"parameters.{key}", "ONNX Runtime's backend has none of that name: take it out")
    return settings


def _instances(groups: Any, refuse: _Refuse) -> dict[str, Any]:
    if not groups:
        return {}
    names = groups[0].DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    kinds = {names[group.kind].name if group.kind in names else str(group.kind) for group in groups}
    if odd := kinds - {"KIND_AUTO", "KIND_CPU", "KIND_GPU"}:
        raise refuse(f"instance_group.kind {min(odd)}", "say KIND_CPU or KIND_GPU")
    if {"KIND_CPU", "KIND_GPU"} <= kinds:
        raise refuse("instance_group.kind", "a version runs on one kind of device: leave KIND_CPU or KIND_GPU out")
    if any(gpu != 0 for group in groups for gpu in group.gpus):
        raise refuse(
            "instance_group.gpus",
            "a worker has one GPU: start one for each, with CUDA_VISIBLE_DEVICES, and take it out",
        )
    # A group without a count has one instance.
    counts = [group.count or 1 for group in groups]
    return {"instances": sum(counts), "providers": ["cuda"] if "KIND_GPU" in kinds else ["cpu"]}


def _read_accelerators(accelerators: Any, providers: list[str] | None, refuse: _Refuse) -> dict[str, Any]:
    where = "optimization.execution_accelerators.gpu_execution_accelerator"
    settings: dict[str, Any] = {}
    for accelerator in accelerators:
        if providers == ["cpu"]:
            raise refuse(where, "the instances are of KIND_CPU: take it out")
        match accelerator.name:
            case "tensorrt":
                # What TensorRT can't run goes to CUDA, as in Triton.
                settings |= {"providers": ["tensorrt", "cuda"], "tensorrt": _tensorrt(accelerator, where, refuse)}
            case "cuda" if not accelerator.parameters:
                settings.setdefault("providers", ["cuda"])
            case "cuda":
                raise refuse(f"{where} cuda: {', '.join(sorted(accelerator.parameters))}", "take them out")
            case name:
                raise refuse(f"{where} {name!r}", "there are 'tensorrt' and 'cuda'")
    return settings


def _tensorrt(accelerator: Any, where: str, refuse: _Refuse) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in accelerator.parameters.items():
        if key == "precision_mode" and value in ("FP32", "FP16"):
            settings["fp16"] = value == "FP16"
        elif key in _PROFILES:
            settings[f"profile_{_PROFILES[key]}"] = value
        elif key not in _HARMLESS_TENSORRT:
            raise refuse(f"{where} tensorrt: {key} {value!r:.40}", "take it out")
    return settings
