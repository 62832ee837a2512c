"""Every field of Triton's configuration is known by name and type, and obeyed, harmless or refused by its name."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.errors import InvalidArtifact
from storage.importers import import_model
from storage.importers.triton_config import model_config
from storage.importers.triton_fields import HARMLESS, OBEYED, REFUSED
from storage.manifest import Manifest
from tests.unit.storage.import_sources import identity, save, write

# What each message that can be reached consists of: (field, type, repeated, has presence, oneof) and, inside, the same.
DESCRIBE = """
def describe(message):
    def kind(field):
        if field.message_type:
            return describe(field.message_type)
        return {v.name: v.number for v in field.enum_type.values} if field.enum_type else field.type
    def about(field):
        oneof = field.containing_oneof.name if field.containing_oneof else None
        return [kind(field), field.is_repeated, field.has_presence, oneof]
    return {"map": message.GetOptions().map_entry, "fields": {f.name: about(f) for f in message.fields}}
"""


def test_names_types_and_labels_are_tritons_own() -> None:
    # In a process of its own: kserve brings messages of the same names, and one process can't hold both.
    program = f"import json; from tritonclient.grpc import model_config_pb2{DESCRIBE}\n"
    program += "print(json.dumps(describe(model_config_pb2.ModelConfig.DESCRIPTOR)))"
    theirs = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    namespace: dict[str, Any] = {}
    exec(DESCRIBE, namespace)
    assert namespace["describe"](model_config().DESCRIPTOR) == json.loads(theirs.stdout)


def test_every_field_has_one_fate_and_no_table_names_another() -> None:
    fates = [*OBEYED, *HARMLESS, *REFUSED]
    assert len(set(fates)) == len(fates)
    assert set(_decided(model_config().DESCRIPTOR, "", set(fates))) == set(fates)


def _decided(message: Any, prefix: str, fates: set[str]) -> Iterator[str]:
    for field in message.fields:
        path = prefix + field.name
        if path in fates:
            yield path
        else:
            assert field.message_type is not None, f"nothing says what becomes of {path}"
            assert field.message_type.fields, f"nothing says what becomes of {path}"
            yield from _decided(field.message_type, f"{path}.", fates)


def imported(tmp_path: Path, config: str, **settings: Any) -> Manifest:
    for version in (1, 2, 3):
        save(identity(("batch", 2)), tmp_path / "net" / str(version) / "model.onnx")
    write(tmp_path / "net", {"config.pbtxt": config})
    return import_model(tmp_path / "net", settings=settings).manifest


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("input { name: 'x' data_type: TYPE_FP32 dims: -1 dims: 2 optional: true }", "input.optional"),
        ("batch_input [ { kind: BATCH_ITEM_SHAPE target_name: 's' source_input: 'x' } ]", "batch_input"),
        (
            "optimization { execution_accelerators { cpu_execution_accelerator [ { name: 'openvino' } ] } }",
            "optimization.execution_accelerators.cpu_execution_accelerator",
        ),
        (
            "dynamic_batching { default_queue_policy { max_queue_size: 4 } }",
            "dynamic_batching.default_queue_policy.max_queue_size",
        ),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value { max_queue_size: 4 } } }",
            "dynamic_batching.priority_queue_policy",
        ),
        ("sequence_batching { }", "sequence_batching: models that keep state between requests"),
        ("ensemble_scheduling { step [ { model_name: 'a' }, { model_name: 'b' } ] }", "ensemble_scheduling"),
        ("instance_group [ { passive: true } ]", "instance_group.passive"),
        ("instance_group [ { kind: KIND_GPU gpus: [ 0, 1 ] } ]", "instance_group.gpus"),
        ("instance_group [ { kind: KIND_GPU }, { kind: KIND_CPU } ]", "instance_group.kind"),
        ("instance_group [ { kind: KIND_MODEL } ]", "instance_group.kind"),
        ("cc_model_filenames { key: '9.0' value: 'other.onnx' }", "cc_model_filenames"),
        ("metric_tags { key: 'team' value: 'ours' }", "metric_tags"),
        ("model_transaction_policy { decoupled: true }", "model_transaction_policy.decoupled"),
        ("parameters [ { key: 'a' value: { string_value: 'b' } } ]", "parameters.a"),
        ("parameters { key: 'execution_mode' value: { string_value: '1' } }", "parameters.execution_mode"),
        ("parameters { key: 'intra_op_thread_count' value: { string_value: '-1' } }", "intra_op_thread_count"),
        ("optimization { graph { level: 3 } }", "optimization.graph.level 3"),
        (
            "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensorrt'"
            " parameters { key: 'precision_mode' value: 'INT8' } } } }",
            "precision_mode 'INT8'",
        ),
        *(
            (f"optimization {{ execution_accelerators {{ gpu_execution_accelerator {{ {given} }} }} }} {more}", words)
            for given, more, words in (
                ("name: 'cuda' parameters { key: 'graphs' value: '1' }", "", "gpu_execution_accelerator cuda: graphs"),
                ("name: 'auto_io'", "", "gpu_execution_accelerator 'auto_io': there are 'tensorrt' and 'cuda'"),
                ("name: 'cuda'", "instance_group [ { kind: KIND_CPU } ]", "the instances are of KIND_CPU"),
            )
        ),
    ],
)
def test_what_is_not_served_is_refused_by_its_name(tmp_path: Path, config: str, path: str) -> None:
    with pytest.raises(InvalidArtifact, match=rf"config\.pbtxt has what is not served: .*{path}"):
        imported(tmp_path, config)


def test_all_that_is_not_served_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidArtifact, match=r"metric_tags: .*; .*model_operations: "):
        imported(tmp_path, "metric_tags { key: 'a' } model_operations { op_library_filename: 'a.so' }")


def test_fields_that_were_given_as_their_own_default_ask_for_nothing(tmp_path: Path) -> None:
    imported(
        tmp_path,
        "model_transaction_policy { decoupled: false } instance_group { passive: false }"
        " dynamic_batching { priority_levels: 0 default_queue_policy { timeout_action: REJECT max_queue_size: 0 } }",
    )


def test_the_policy_says_which_version_is_imported(tmp_path: Path) -> None:
    def version(config: str, **settings: Any) -> str:
        imported(tmp_path, config)
        return import_model(tmp_path / "net", settings=settings).files["model.onnx"].parent.name

    assert version("version_policy { specific { versions: [1] } }") == "1"
    assert version("version_policy { specific { versions: 2 versions: 9 versions: 1 } }") == "2"
    assert version("version_policy { all { } }") == "3"
    assert version("version_policy { latest { num_versions: 2 } }") == "3"
    assert version("version_policy { specific { versions: [1] } }", version=3) == "3"
    with pytest.raises(InvalidArtifact, match=r"version_policy serves the versions 7, \S+ has 1, 2, 3"):
        version("version_policy { specific { versions: [7] } }")


def test_a_response_cache_that_is_switched_off_stays_off(tmp_path: Path) -> None:
    assert imported(tmp_path, "response_cache { enable: false }").cache_ttl_s == 0
    assert imported(tmp_path, "response_cache { enable: true }").cache_ttl_s == 3600


def test_tensorrt_is_asked_for_with_its_precision_and_profile(tmp_path: Path) -> None:
    keys = {
        "precision_mode": "FP16",
        "trt_profile_min_shapes": "x:1x2",
        "trt_profile_opt_shapes": "x:8x2",
        "trt_profile_max_shapes": "x:32x2",
        "max_workspace_size_bytes": "1073741824",
    }
    parameters = " ".join(f"parameters {{ key: '{key}' value: '{value}' }}" for key, value in keys.items())
    accelerator = f"gpu_execution_accelerator : [ {{ name : 'tensorrt' {parameters} }} ]"
    engine = imported(tmp_path, f"optimization {{ execution_accelerators {{ {accelerator} }} }}").engine
    assert engine.providers == ("tensorrt", "cuda")
    assert engine.tensorrt is not None
    assert (engine.tensorrt.fp16, engine.tensorrt.profile_opt) == (True, "x:8x2")
