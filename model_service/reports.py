"""What a worker says about its models, in the JSON of the Open Inference Protocol and of Triton's extensions to it."""

from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from model_service.loaded_model import LoadedModel
from model_service.slots import Slot
from model_service.statistics import Compute
from service.tally import Tally
from storage.manifest import TensorSpec
from wire.engines import engine_named

EXTENSIONS = ("binary_tensor_data", "statistics", "model_repository")
_STATES = {"loading": "LOADING", "ready": "READY", "failed": "UNAVAILABLE", "unloading": "UNLOADING"}


def server_metadata() -> dict[str, Any]:
    """`GET /v2`."""
    try:
        release = version("headrace")
    except PackageNotFoundError:  # run from a checkout
        release = "unknown"
    return {"name": "headrace-worker", "version": release, "extensions": EXTENSIONS}


def metadata(model: LoadedModel, versions: Sequence[int]) -> dict[str, Any]:
    """`GET /v2/models/{model}`; `versions` are those that are loaded."""
    return {
        "name": model.name,
        "versions": [str(number) for number in versions],
        "platform": engine_named(model.manifest.runtime).platform,
        "inputs": [_spec(spec) for spec in model.manifest.inputs],
        "outputs": [_spec(spec) for spec in model.manifest.outputs],
    }


def repository_index(slots: Iterable[Slot]) -> list[dict[str, Any]]:
    """`POST /v2/repository/index`."""
    return [
        {
            "name": slot.version.model,
            "version": str(slot.version.number),
            "state": _STATES[slot.state],
            "reason": slot.reason or "",
        }
        for slot in slots
    ]


def statistics(models: Iterable[LoadedModel]) -> dict[str, Any]:
    """`GET /v2/models/stats`. Requests that came as one are counted one by one, except those that failed."""
    return {"model_stats": [_statistics(model) for model in models]}


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}


def _statistics(model: LoadedModel) -> dict[str, Any]:
    numbers, answered = model.statistics, model.statistics.answered
    failed = Tally()
    for failure in numbers.failures.values():
        failed.add(failure.seconds, failure.count)
    return {
        "name": model.name,
        "version": str(model.number),
        "last_inference": int(numbers.last_inference * 1000),
        "inference_count": numbers.rows,
        "execution_count": numbers.executions,
        "inference_stats": {
            "success": _duration(answered.success),
            "fail": _duration(failed),
            "queue": _duration(answered.queue),
            **_compute(answered.compute),
            "cache_hit": _duration(Tally()),
            "cache_miss": _duration(Tally()),
        },
        "batch_stats": [{"batch_size": rows, **_compute(compute)} for rows, compute in sorted(numbers.batches.items())],
        "memory_usage": [],
    }


def _compute(compute: Compute) -> dict[str, Any]:
    return {
        "compute_input": _duration(compute.input),
        "compute_infer": _duration(compute.infer),
        "compute_output": _duration(compute.output),
    }


def _duration(duration: Tally) -> dict[str, int]:
    return {"count": duration.count, "ns": int(duration.seconds * 1e9)}
