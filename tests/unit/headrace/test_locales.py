"""A worker that `headrace up` starts can change letters, whatever locales the machine has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from headrace import locales
from tests.unit.model_service.graphs import save_graph

LOWER = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
print(session.run(None, {"x": numpy.array(["ÄÖ Straße ΣΊ"], object)})[0][0] == "äö straße σί")
"""


def test_a_graph_that_lowers_letters_runs_in_the_environment_that_workers_get(tmp_path: Path) -> None:
    text = [(name, TensorProto.STRING, ["n"]) for name in "xy"]
    lower = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", is_case_sensitive=0)
    graph = save_graph(tmp_path / "lower.onnx", [lower], text[:1], text[1:])
    for _ in range(2):  # a folder that is there is used again
        environment = {**os.environ, **locales.variables(tmp_path / "locales")}
        said = subprocess.run([sys.executable, "-c", LOWER, graph], env=environment, capture_output=True, text=True)
        assert said.stdout == "True\n", said.stderr


def test_folders_of_locales_that_are_set_stay_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    if locales.is_there(locales.NAME):
        pytest.skip("this machine has the locale wherever LOCPATH leads")
    assert locales.variables(tmp_path / "ours") == {"LOCPATH": f"{tmp_path / 'ours'}:{tmp_path}"}
