"""What becomes of each field of a `config.pbtxt`: obeyed by triton.py, harmless here, or refused by its name.

A field stands for all that is inside it. One that no table holds is obeyed as far as the fields inside it are.
"""

from collections.abc import Iterator
from typing import Any, Final

from storage.errors import InvalidArtifact

OBEYED: Final = frozenset(
    (
        "name",
        "platform",
        "backend",
        "runtime",
        "version_policy",
        "max_batch_size",
        "input.name",
        "input.data_type",
        "input.dims",
        "output.name",
        "output.data_type",
        "output.dims",
        "optimization.graph.level",
        "optimization.execution_accelerators.gpu_execution_accelerator",
        "dynamic_batching.max_queue_delay_microseconds",
        "instance_group.kind",
        "instance_group.count",
        "instance_group.gpus",
        "default_model_filename",
        "parameters",
        "response_cache.enable",
    )
)
# They say how Triton goes about its own work, or describe the model: neither what is answered nor to whom.
HARMLESS: Final = frozenset(
    (
        "input.format",
        # For its classification extension, which a request asks for by a parameter.
        "output.label_filename",
        "optimization.priority",
        "optimization.cuda",
        "optimization.input_pinned_memory",
        "optimization.output_pinned_memory",
        "optimization.gather_kernel_buffer_threshold",
        "optimization.eager_batching",
        "dynamic_batching.preferred_batch_size",
        "dynamic_batching.preserve_ordering",
        "dynamic_batching.default_queue_policy.allow_timeout_override",
        "instance_group.name",
        "instance_group.host_policy",
        # Triton passes it over as well, unless it is started with --rate-limit.
        "instance_group.rate_limiter",
        # Workers warm every version up before it is ready, with golden cases where it has them.
        "model_warmup",
    )
)
_TIME_OUT: Final = "clients say how long they wait, by x-request-timeout-ms: take it out"
_RAGGED: Final = "rows of different lengths are not joined: pad them, and take it out"
_ONLY_TENSORRT: Final = "it is for TensorRT plans, and only ONNX models are served: take it out"
REFUSED: Final[dict[str, str]] = {
    "input.reshape": "put the Reshape into the graph, and take it out",
    "output.reshape": "put the Reshape into the graph, and take it out",
    "input.is_shape_tensor": _ONLY_TENSORRT,
    "output.is_shape_tensor": _ONLY_TENSORRT,
    "input.is_non_linear_format_io": _ONLY_TENSORRT,
    "output.is_non_linear_format_io": _ONLY_TENSORRT,
    "input.allow_ragged_batch": _RAGGED,
    "input.optional": "every input is sent with every request: give the graph a default for it, and take it out",
    "batch_input": _RAGGED,
    "batch_output": _RAGGED,
    "optimization.execution_accelerators.cpu_execution_accelerator": "processors run ONNX Runtime's own kernels alone:"
    " take it out",
    "dynamic_batching.priority_levels": "requests are served in turn, without priorities: take it out",
    "dynamic_batching.default_priority_level": "requests are served in turn, without priorities: take it out",
    "dynamic_batching.priority_queue_policy": "requests are served in turn, without priorities: take it out",
    "dynamic_batching.default_queue_policy.timeout_action": _TIME_OUT,
    "dynamic_batching.default_queue_policy.default_timeout_microseconds": _TIME_OUT,
    "dynamic_batching.default_queue_policy.max_queue_size": "it counts requests, and the queue here rows: take it out,"
    " and set batching.max_queue_rows",
    "sequence_batching": "models that keep state between requests are not served",
    "ensemble_scheduling": "import the models that it names, and have the client call one after the other",
    "instance_group.secondary_devices": "a worker runs on one device: take it out",
    "instance_group.profile": "set engine.tensorrt.profile instead, and take it out",
    "instance_group.passive": "an instance that answers nothing is of no use here: take it out",
    "cc_model_filenames": "one graph is served on every device: name it by default_model_filename",
    "metric_tags": "metrics carry the model's name and version: take it out, and label them where they are scraped",
    "model_metrics": "the buckets of histograms are the same for all models: take it out",
    "model_operations": "operators that come as libraries are not loaded: export the graph with ONNX's own",
    "model_transaction_policy.decoupled": "a request has one answer: take it out",
    "model_repository_agents": "no agent's code is run: take it out, and import what the agent would have made",
}


def check_fields(config: Any, source: str) -> None:
    """Raises InvalidArtifact, which names them and says what to do, where the config has fields that are not served."""
    refused = dict.fromkeys(_find_refused(config, ""))
    if refused:
        told = "; ".join(f"{path}: {REFUSED[path]}" for path in refused)
        raise InvalidArtifact(f"{source} has what is not served: {told}")


def _find_refused(message: Any, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        path = prefix + field.name
        if path in REFUSED:
            yield path
        elif path not in OBEYED and path not in HARMLESS:
            for inner in value if field.is_repeated else (value,):
                yield from _find_refused(inner, f"{path}.")
