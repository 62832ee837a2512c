"""What runs fastest here: chosen from what was measured through a worker's engine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from storage.importers import import_model
from tests.training.movies import trained
from training.export.run import run
from training.export.tune import Trial, choose
from training.recipe.tune import Tune

TRIALS = [
    Trial("fp32", 1, 1, 8, rows_per_s=100, p50_ms=5, p99_ms=9),
    Trial("int8", 1, 1, 8, rows_per_s=300, p50_ms=7, p99_ms=30),
    Trial("int8", 2, 1, 1, rows_per_s=200, p50_ms=2, p99_ms=4),
    Trial("fp16", 2, 1, 1, rows_per_s=900, p50_ms=1, p99_ms=1, error="the graph crashes the runtime"),
]


def test_the_highest_throughput_is_best():
    assert choose(TRIALS, Tune()) == TRIALS[1]


def test_the_lowest_latency_is_best_where_that_is_asked_for():
    assert choose(TRIALS, Tune(objective="latency")) == TRIALS[2]


def test_throughput_counts_among_those_that_are_quick_enough():
    assert choose(TRIALS, Tune(p99_ms=10)) == TRIALS[2]


def test_where_none_is_quick_enough_the_quickest_is_best():
    assert choose(TRIALS, Tune(p99_ms=0.5)) == TRIALS[2]


def test_what_failed_is_never_best():
    assert choose(TRIALS[3:], Tune()) is None


def test_the_best_is_served_and_the_others_stay(tmp_path):
    tune = {"threads": [1], "instances": [1], "max_rows": [1, 16], "seconds": 0.3, "in_flight": 16}
    recipe = trained().recipe(
        export={"variants": ["fp32", "int8"], "parity_rows": 32, "metric_drop": 0.1, "tune": tune}
    )
    outcome = run(trained().work(recipe, tmp_path))
    tried = outcome["tuned"]["tried"]
    assert {(one["variant"], one["max_rows"]) for one in tried} == {
        (variant, rows) for variant in ("fp32", "int8") for rows in (1, 16)
    }
    assert all(one["error"] == "" and one["rows_per_s"] > 0 and one["memory_mb"] > 0 for one in tried)
    best = max(tried, key=lambda one: one["rows_per_s"])
    manifest = import_model(tmp_path / "artifact").manifest
    assert outcome["served"] == best["variant"]
    assert manifest.batching.max_rows == best["max_rows"]
    assert (manifest.engine.threads, manifest.engine.instances) == (1, 1)
    assert {variant.name for variant in manifest.variants} == {"fp32", "int8"}
    for variant in ("fp32", "int8"):
        chosen = import_model(tmp_path / "artifact", settings={"variant": variant}).manifest
        assert chosen.golden is not None
        assert (tmp_path / "artifact" / chosen.golden).is_file()


def test_threads_are_shared_by_the_instances_and_the_best_of_both_is_served(tmp_path):
    tune = {"threads": [1, 2], "instances": [1, 2], "max_rows": [8], "seconds": 0.3, "in_flight": 16}
    recipe = trained().recipe(export={"variants": ["fp32"], "parity_rows": 32, "metric_drop": 0.1, "tune": tune})
    outcome = run(trained().work(recipe, tmp_path))
    tried = outcome["tuned"]["tried"]
    assert [(one["threads"], one["instances"]) for one in tried] == [(1, 1), (2, 1), (2, 2)]
    assert all(one["error"] == "" and one["rows_per_s"] > 0 for one in tried)
    best = max(tried, key=lambda one: one["rows_per_s"])
    engine = import_model(tmp_path / "artifact").manifest.engine
    assert (engine.threads, engine.instances) == (best["threads"] // best["instances"], best["instances"])


def test_a_version_that_cannot_be_loaded_is_an_error_of_the_measurement(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    (tmp_path / "requests.json").write_text("[]")
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
    manifest: dict[str, object] = {
        "name": "m",
        "model": "m.onnx",
        "inputs": [tensor],
        "outputs": [tensor],
        "files": [{"path": "m.onnx", "sha256": "0" * 64, "size": 8}],
    }
    done = measure(tmp_path, manifest)
    assert done.returncode != 0
    assert "ONNX Runtime cannot load m.onnx" in done.stderr


def measure(folder: Path, manifest: dict[str, object]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_service.measure", str(folder), str(folder / "requests.json")]
    return subprocess.run(command, input=json.dumps(manifest), capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("field", ["threads", "instances", "max_rows"])
def test_nothing_below_one_is_tried(field):
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Tune.model_validate({field: [0]})
