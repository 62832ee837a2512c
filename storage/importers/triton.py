"""A Triton model repository: `<model>/config.pbtxt` and `<model>/<version>/model.onnx`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.draft import Draft
from storage.importers.folder import Folder
from storage.importers.graph import Graph, read_graph
from storage.importers.settings import refuse_choice
from storage.importers.tensors import check_tensors
from storage.importers.triton_config import parse_config
from storage.importers.triton_engine import engine_of
from storage.importers.triton_fields import check_fields
from storage.manifest import TensorSpec

CONFIG: Final = "config.pbtxt"
_PLATFORMS: Final = ("onnxruntime_onnx", "")
_BACKENDS: Final = ("onnxruntime", "")
_RUNTIMES: Final = ("libtriton_onnxruntime.so", "onnxruntime", "")


def find_triton_model(path: Path) -> Path | None:
    """The folder with the config.pbtxt: `path` or its one subfolder that has it; None where this is no repository.

    Raises InvalidArtifact where there are several models to choose from.
    """
    if (path / CONFIG).is_file():
        return path
    models = sorted(found.parent for found in path.glob(f"*/{CONFIG}"))
    if len(models) > 1:
        raise InvalidArtifact(f"{path} holds several models, import one: {', '.join(map(str, models))}")
    return models[0] if models else None


def import_triton(path: Path, version: str | None, settings: Mapping[str, Any]) -> Draft:
    """One version of the model in the folder `path`: `version`, the setting "version", or else the one that Triton
    answers with where none is named, which is the highest that the config's version_policy serves."""
    refuse_choice(settings, "model", "folders that hold several graphs")
    config = parse_config(Folder.at(path).text(CONFIG) or "", CONFIG)
    _check_supported(config)
    folder = _version_folder(path, version if version is not None else settings.get("version"), config.version_policy)
    filename = config.default_model_filename or "model.onnx"
    # Triton also takes a folder by the model's name, with the graph and its external data in it.
    inner = f"{filename}/{filename}"
    graph = read_graph(folder, inner if folder.find(inner) is not None else filename)
    fields: dict[str, Any] = {
        "inputs": _tensors("input", config.input, graph.inputs, config.max_batch_size),
        "outputs": _tensors("output", config.output, graph.outputs, config.max_batch_size),
        "batching": _batching_fields(config, graph),
        "engine": engine_of(config, CONFIG),
    }
    if config.HasField("response_cache") and not config.response_cache.enable:
        fields["cache_ttl_s"] = 0
    return Draft(config.name or path.resolve().name, graph, fields)


def _version_folder(path: Path, version: Any, policy: Any) -> Folder:
    folders = [entry.name for entry in path.iterdir() if entry.is_dir()]
    numbers = sorted(int(name) for name in folders if re.fullmatch(r"[1-9][0-9]{0,17}", name))
    if not numbers:
        raise InvalidArtifact(f"{path} has no version: a Triton model has its graph in {path.name}/1/model.onnx")
    # Of the policies only this one can leave out the highest.
    if version is None and policy.WhichOneof("policy_choice") == "specific":
        served = [number for number in numbers if number in policy.specific.versions]
        if not served:
            told = ", ".join(map(str, policy.specific.versions)) or "none"
            there = ", ".join(map(str, numbers))
            raise InvalidArtifact(f"{CONFIG}: version_policy serves the versions {told}, {path} has {there}")
        numbers = served
    chosen = str(numbers[-1] if version is None else version)
    if chosen not in map(str, numbers):
        raise InvalidArtifact(f"{path} has no version {version!r:.40}: there are {', '.join(map(str, numbers))}")
    if (folder := path / chosen).is_symlink():
        raise InvalidArtifact(f"{folder} is a link: put the version itself there")
    return Folder.at(folder)


def _check_supported(config: Any) -> None:
    if config.platform not in _PLATFORMS or config.backend not in _BACKENDS:
        raise InvalidArtifact(
            f"{CONFIG} names the platform '{config.platform or config.backend}': only ONNX models are served"
            " (platform 'onnxruntime_onnx', backend 'onnxruntime')"
        )
    if config.runtime not in _RUNTIMES:
        raise InvalidArtifact(
            f"{CONFIG} names the runtime '{config.runtime}': only ONNX Runtime's is known, take it out"
        )
    check_fields(config, CONFIG)
    if config.max_batch_size < 0:
        raise InvalidArtifact(f"{CONFIG} has max_batch_size {config.max_batch_size}: it must be 0 or more")


def _tensors(kind: str, told: Any, present: tuple[TensorSpec, ...], max_batch_size: int) -> list[dict[str, Any]]:
    """The config's tensors, as far as it narrows the graph's; all of the graph's where the config lists none."""
    rows = [-1] if max_batch_size else []
    specs = []
    for tensor in told:
        known = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number.get(tensor.data_type)
        datatype = known.name if known else str(tensor.data_type)  # text may hold any number for a name
        fields = {
            "name": tensor.name,
            "datatype": {"TYPE_STRING": "BYTES"}.get(datatype, datatype.removeprefix("TYPE_")),
            "shape": [*rows, *tensor.dims],
        }
        specs.append(_spec(kind, fields))
    if not specs:
        return [spec.model_dump() for spec in present]
    check_tensors(kind, specs, present, CONFIG)
    shapes = {spec.name: spec.shape for spec in present}
    return [
        {
            **spec.model_dump(),
            "shape": [size if size != -1 else known for size, known in zip(spec.shape, shapes[spec.name], strict=True)],
        }
        for spec in specs
    ]


def _spec(kind: str, fields: Mapping[str, Any]) -> TensorSpec:
    try:
        return TensorSpec.model_validate(fields)
    except ValueError as error:
        raise InvalidArtifact(
            f"{CONFIG}: the {kind} '{fields['name']}' has the data type {fields['datatype']} and the dims"
            f" {fields['shape']}"
        ) from error


def _batching_fields(config: Any, graph: Graph) -> dict[str, Any]:
    if config.max_batch_size and not graph.has_rows:
        fixed = next(spec for spec in (*graph.inputs, *graph.outputs) if spec.shape[:1] != (-1,))
        raise InvalidArtifact(
            f"{CONFIG} has max_batch_size {config.max_batch_size}, but the graph's '{fixed.name}' has the shape"
            f" {list(fixed.shape)}: its first dimension must be of any size"
        )
    batching: dict[str, Any] = {"max_rows": config.max_batch_size or 1}
    if config.HasField("dynamic_batching"):
        batching["max_delay_ms"] = config.dynamic_batching.max_queue_delay_microseconds / 1000
    return batching
