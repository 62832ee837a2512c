"""What TensorRT is told; what it makes of that only a machine with a GPU can show (`python -m loadtests.gpu`)."""

from pathlib import Path

import pytest

from model_service.engines.tensorrt import cache_of, name_build, options_of
from storage.manifest import TensorRT


def device(driver: Path, model: str, release: str = "580.1") -> Path:
    about = driver / "gpus/0000:01:00.0/information"
    about.parent.mkdir(parents=True, exist_ok=True)
    about.write_text(f"Model: \t\t {model}\nIRQ:   \t\t 42\n")
    (driver / "version").write_text(f"NVRM version: {release}\n")
    return driver


def test_engines_are_kept_beside_the_artifact_by_its_digest_and_the_device(tmp_path: Path) -> None:
    digest = "a" * 64
    options = options_of(None, cache_of(tmp_path / digest))
    folder = Path(options["trt_engine_cache_path"])
    assert folder == tmp_path / f"{digest}.tensorrt" / name_build()
    assert folder.is_dir()
    assert options["trt_engine_cache_enable"] == "1"
    assert options["trt_fp16_enable"] == "0"


def test_another_device_or_driver_finds_none_of_them(tmp_path: Path) -> None:
    names = [
        name_build(device(tmp_path, "NVIDIA H200")),
        name_build(device(tmp_path, "NVIDIA L4")),
        name_build(device(tmp_path, "NVIDIA L4", "590.2")),
        name_build(tmp_path / "none"),
    ]
    assert len(set(names)) == 4
    assert names[0].startswith("NVIDIA-H200-")
    assert all("/" not in name for name in names)


def test_precision_and_profile_are_the_manifests(tmp_path: Path) -> None:
    settings = TensorRT(fp16=True, profile_min="x:1x3", profile_opt="x:8x3", profile_max="x:32x3")
    options = options_of(settings, tmp_path)
    assert options["trt_fp16_enable"] == "1"
    assert [options[f"trt_profile_{bound}_shapes"] for bound in ("min", "opt", "max")] == ["x:1x3", "x:8x3", "x:32x3"]


def test_without_a_gpu_the_check_of_gpus_says_so_and_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from loadtests import gpu

    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("there is a GPU")
    monkeypatch.setattr("sys.argv", ["gpu", "--out", str(tmp_path / "gpu.json")])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == gpu.NO_GPU
    assert "there is no GPU on this machine" in capsys.readouterr().err
    assert not (tmp_path / "gpu.json").exists()
