"""A Triton model repository: what its config.pbtxt says, held against the graph."""

import subprocess
import sys
from pathlib import Path

import pytest
from onnx import helper

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.manifest import Manifest, TensorSpec
from tests.unit.storage.import_sources import FLOAT, Value, external, identity, model_of, save, with_weight, write

TENSORS = """
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output { name: "y", data_type: TYPE_FP32, dims: 2 }
"""
# As users write them: comments, all forms of lists and messages, fields that mean nothing here.
CONFIG = (
    """
# a comment
name: "ser" 'v\\x65d'  # in two pieces
platform: "onnxruntime_onnx"
max_batch_size: 16;
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 1500 }
instance_group [ { count: 2 kind: KIND_CPU }, < kind: 2 > ]
optimization < graph { level: 1 }, input_pinned_memory { enable: false } >
parameters [ { key: "intra_op_thread_count" value: { string_value: "3" } } ]
parameters: { key: "execution_mode" value { string_value: "0" } }
model_warmup [ { name: "w" batch_size: 1 inputs { key: "x" value: { data_type: TYPE_FP32 dims: 2 zero_data: true } } } ]
version_policy: { latest { num_versions: 1 } }
"""
    + TENSORS
)


def repository(tmp_path: Path, config: str, shape: tuple[int | str | None, ...] = ("batch", 2)) -> Path:
    save(identity(shape), tmp_path / "net" / "1" / "model.onnx")
    write(tmp_path / "net", {"config.pbtxt": config})
    return tmp_path


def imported(tmp_path: Path, config: str, shape: tuple[int | str | None, ...] = ("batch", 2)) -> Manifest:
    return import_model(repository(tmp_path, config, shape)).manifest


def test_batching_delay_and_instances_are_the_configs(tmp_path: Path) -> None:
    manifest = imported(tmp_path, CONFIG)
    assert (manifest.name, manifest.task, manifest.model) == ("served", "tensors", "model.onnx")
    assert (manifest.batching.max_rows, manifest.batching.max_delay_ms) == (16, 1.5)
    assert (manifest.engine.instances, manifest.engine.providers) == (3, ("cpu",))
    assert (manifest.engine.threads, manifest.engine.graph_optimization) == (3, "extended")
    assert manifest.cache_ttl_s == 3600
    assert manifest.inputs == (TensorSpec(name="x", datatype="FP32", shape=(-1, 2)),)
    assert manifest.outputs == (TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),)


def test_our_description_of_the_format_reads_what_tritons_own_writes(tmp_path: Path) -> None:
    # In a process of its own: kserve brings messages of the same names, and one process can't hold both.
    program = (
        "import sys; from google.protobuf import text_format; from tritonclient.grpc import model_config_pb2\n"
        "print(text_format.Parse(sys.stdin.read(), model_config_pb2.ModelConfig()))"
    )
    theirs = subprocess.run([sys.executable, "-c", program], input=CONFIG, capture_output=True, text=True, check=True)
    manifest = imported(tmp_path, theirs.stdout)
    assert (manifest.name, manifest.batching.max_rows, manifest.batching.max_delay_ms) == ("served", 16, 1.5)
    assert manifest.engine.instances == 3


def test_without_batching_the_dims_are_the_whole_shape(tmp_path: Path) -> None:
    config = TENSORS.replace("dims: [ 2 ]", "dims: [ 1, 2 ]").replace("dims: 2", "dims: [ 1, 2 ]")
    manifest = imported(tmp_path, config, (1, 2))
    assert (manifest.batching.max_rows, manifest.inputs[0].shape) == (1, (1, 2))


def test_the_config_may_narrow_the_graph_and_the_graph_the_config(tmp_path: Path) -> None:
    config = "max_batch_size: 4" + TENSORS.replace("[ 2 ]", "[ 3, -1 ]").replace("dims: 2", "dims: [ -1, -1 ]")
    manifest = imported(tmp_path, config, ("batch", None, 5))
    assert (manifest.inputs[0].shape, manifest.outputs[0].shape) == ((-1, 3, 5), (-1, -1, 5))


def test_a_config_without_tensors_takes_the_graphs(tmp_path: Path) -> None:
    manifest = imported(tmp_path, 'backend: "onnxruntime" max_batch_size: 4')
    assert (manifest.name, manifest.inputs[0].shape) == ("net", (-1, 2))


def test_a_gpu_instance_asks_for_cuda(tmp_path: Path) -> None:
    manifest = imported(
        tmp_path, CONFIG.replace("kind: KIND_CPU", "kind: KIND_GPU gpus: [ 0 ]").replace("kind: 2", "count: 1")
    )
    assert manifest.engine.providers == ("cuda",)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("TYPE_FP32 dims", "TYPE_INT64 dims"), r"input 'x' is INT64 \[-1, 2\], in the graph it is FP32"),
        (("dims: 2", "dims: 3"), r"output 'y' is FP32 \[-1, 3\]"),
        (('"x"', '"z"'), "has the input 'z', the graph's inputs are 'x'"),
        (("dims: [ 2 ]", "dims: [ 2, 1 ]"), r"FP32 \[-1, 2, 1\]"),
        (("dims: [ 2 ]", "dims: [ 2 ] reshape { shape: [ 1, 2 ] }"), r"input\.reshape: put the Reshape into the graph"),
        (("TYPE_FP32 dims", "99 dims"), "data type 99"),
        (("TYPE_FP32 dims", "TYPE_INVALID dims"), "data type INVALID"),
        (("dims: [ 2 ]", "dims: [ -7 ]"), "the dims"),
        (("onnxruntime_onnx", "tensorrt_plan"), "platform 'tensorrt_plan': only ONNX"),
        (('platform: "onnxruntime_onnx"', 'backend: "python"'), "platform 'python'"),
        (("max_batch_size: 16", "max_batch_size: -1"), "max_batch_size -1"),
        (("max_batch_size: 16", "max_batch_size: 99999"), r"batching\.max_rows"),
        (("max_batch_size: 16", "max_batch_size: many"), r"not a Triton model configuration: \d+:"),
        (("TYPE_FP32 dims", "TYPE_FP99 dims"), "not a Triton model configuration"),
        (("# a comment", "junk { " * 100_000), "not a Triton model configuration"),
        (("# a comment", "max_batchsize: 4"), 'no field named "max_batchsize"'),
        (("# a comment", "max_batch_size: 4"), "should not have multiple"),
        (("max_batch_size", "runtime: 'python' max_batch_size"), "names the runtime 'python'"),
        (("# a comment", 'default_model_filename: "../../../etc/model.onnx"'), "leaves the artifact's folder"),
    ],
)
def test_a_config_that_is_wrong_or_not_the_graphs_is_refused(
    tmp_path: Path, change: tuple[str, str], match: str
) -> None:
    with pytest.raises(InvalidArtifact, match=match):
        imported(tmp_path, CONFIG.replace(*change))


def test_an_output_may_be_left_out_and_an_input_may_not(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["y"]), helper.make_node("Identity", ["b"], ["z"])]
    values: list[Value] = [(name, FLOAT, ["batch", 2]) for name in ("x", "b", "y", "z")]
    repository(tmp_path, "max_batch_size: 4" + TENSORS)
    save(model_of(nodes, values[:2], values[2:]), tmp_path / "net" / "1" / "model.onnx")
    with pytest.raises(InvalidArtifact, match=r"config\.pbtxt leaves out what the graph needs: b"):
        import_model(tmp_path)
    config = "max_batch_size: 4" + TENSORS + 'input { name: "b" data_type: TYPE_FP32 dims: [ 2 ] }'
    write(tmp_path / "net", {"config.pbtxt": config})
    manifest = import_model(tmp_path).manifest
    assert [spec.name for spec in (*manifest.inputs, *manifest.outputs)] == ["x", "b", "y"]


def test_batching_a_graph_of_fixed_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match="max_batch_size 16, but the graph's 'x'"):
        imported(tmp_path, CONFIG, (1, 2))


def test_the_highest_version_is_imported_unless_another_is_named(tmp_path: Path) -> None:
    repository(tmp_path, CONFIG)
    model = tmp_path / "net"
    for version in ("2", "10"):
        save(identity(), model / version / "model.onnx")
    (model / "latest").mkdir()
    (model / "0").mkdir()

    def place(source: str, **settings: object) -> Path:
        return import_model(source, settings=settings).files["model.onnx"].parent

    assert place(str(model)) == model / "10"
    assert place(f"{model}:2") == model / "2"
    assert place(f"{tmp_path}:1") == model / "1"
    assert place(str(model), version=1) == model / "1"
    with pytest.raises(InvalidArtifact, match="has no version '3': there are 1, 2, 10"):
        place(f"{model}:3")


def test_one_model_of_a_repository_has_to_be_named(tmp_path: Path) -> None:
    repository(tmp_path, CONFIG)
    write(tmp_path / "other", {"config.pbtxt": CONFIG})
    with pytest.raises(InvalidArtifact, match=r"several models, import one: \S+/net, \S+/other"):
        import_model(tmp_path)
    with pytest.raises(InvalidArtifact, match="has no version"):
        import_model(tmp_path / "other")


def test_a_folder_in_the_models_place_brings_its_external_data(tmp_path: Path) -> None:
    write(tmp_path / "net", {"config.pbtxt": CONFIG, "1/model.onnx/w.bin": "12345678"})
    save(with_weight(external("w", "w.bin")), tmp_path / "net" / "1" / "model.onnx" / "model.onnx")
    assert sorted(import_model(tmp_path).files) == ["model.onnx/model.onnx", "model.onnx/w.bin"]


def test_a_version_of_what_is_no_triton_model_is_refused(tmp_path: Path) -> None:
    save(identity(), tmp_path / "model.onnx")
    with pytest.raises(InvalidArtifact, match=r"no config\.pbtxt"):
        import_model(f"{tmp_path}:2")
