"""Settings go over what the importer finds, and say so where they are wrong."""

from pathlib import Path
from typing import Any

import pytest

from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.storage.import_sources import identity, save, sentence_folder


def test_settings_go_over_what_is_found_section_by_section(tmp_path: Path) -> None:
    settings = {
        "engine": {"threads": 2, "providers": ["cuda"]},
        "batching": {"max_delay_ms": 5},
        "text": {"max_length": 64},
        "cache_ttl_s": 0,
        "description": "about",
        "metrics": {"accuracy": 0.9},
        "provenance": {"recipe": "r1"},
    }
    manifest = import_model(sentence_folder(tmp_path), settings=settings).manifest
    assert (manifest.engine.threads, manifest.engine.providers, manifest.engine.instances) == (2, ("cuda",), 1)
    assert (manifest.batching.max_delay_ms, manifest.batching.max_rows) == (5, 32)
    assert manifest.text is not None
    assert (manifest.text.max_length, manifest.text.pooling) == (64, "cls")
    assert (manifest.cache_ttl_s, manifest.description, manifest.metrics) == (0, "about", {"accuracy": 0.9})
    assert manifest.provenance == {"recipe": "r1"}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"bathcing": {}}, "unknown setting 'bathcing': did you mean 'batching'"),
        ({"engine": {"thread": 2}}, r"unknown setting 'engine\.thread': did you mean 'engine\.threads'"),
        ({"engine": 2}, "'engine' is a section"),
        ({"engine": {"threads": -1}}, r"engine\.threads: Input should be greater than or equal to 0"),
        ({"engine": {"providers": ["tpu"]}}, r"engine\.providers\.0: Input should be 'cpu', 'cuda' or 'tensorrt'"),
        ({"text": {"labels": 5}}, r'text\.labels: it must be a list such as \["a", "b"\], or a,b on the command line'),
        ({"engine": {"providers": "cuda,tpu"}}, r"engine\.providers\.1: Input should be 'cpu', 'cuda' or 'tensorrt'"),
        ({"cache_ttl_s": "soon"}, "cache_ttl_s: Input should be a valid integer"),
        ({"files": []}, "unknown setting 'files'"),
        ({"foo": 1}, "unknown setting 'foo': there are model, version"),
        ({"model": "other.onnx"}, "'model' means nothing here"),
        ({"version": 2}, "'version' means nothing here"),
        ({"task": "sentence-embedding"}, "needs the section 'text'"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_nearest_right_one(
    tmp_path: Path, settings: dict[str, Any], match: str
) -> None:
    file = save(identity(), tmp_path / "m.onnx")
    with pytest.raises(InvalidArtifact, match=match):
        import_model(file, settings=settings)


@pytest.mark.parametrize(
    ("value", "providers"),
    [
        ("cuda", ("cuda",)),
        ("cuda,cpu", ("cuda", "cpu")),
        ("cuda, cpu", ("cuda", "cpu")),
        ("[cuda]", ("cuda",)),
        ("['cuda', cpu]", ("cuda", "cpu")),
    ],
)
def test_a_list_may_be_written_as_one_value_or_several_with_commas_between(
    tmp_path: Path, value: str, providers: tuple[str, ...]
) -> None:
    file = save(identity(), tmp_path / "m.onnx")
    assert import_model(file, settings={"engine": {"providers": value}}).manifest.engine.providers == providers
    folder = sentence_folder(tmp_path / "text")
    text = import_model(folder, settings={"text": {"labels": "good,bad"}}).manifest.text
    assert text is not None
    assert text.labels == ("good", "bad")


def test_a_wrong_setting_is_found_before_the_source_is_read() -> None:
    with pytest.raises(InvalidArtifact, match="unknown setting"):
        import_model("hf:owner/name", settings={"bathcing": {}})


def test_a_given_name_is_kept_or_refused_and_a_found_one_made_to_fit(tmp_path: Path) -> None:
    file = save(identity(), tmp_path / "_my model (v2).onnx")
    assert import_model(file).manifest.name == "my-model-v2-"
    assert import_model(file, "mine").manifest.name == "mine"
    with pytest.raises(InvalidArtifact, match="'my model' is no model name"):
        import_model(file, "my model")
    with pytest.raises(InvalidArtifact, match="name the model yourself"):
        import_model(save(identity(), tmp_path / "模型.onnx"))
