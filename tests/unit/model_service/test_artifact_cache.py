import fcntl
import os
from pathlib import Path

from model_service.artifact_cache import sweep, touch

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def add(folder: Path, name: str, age_s: float = 7200) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(b"graph")
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_what_is_wanted_or_young_stays_and_the_rest_goes(tmp_path: Path) -> None:
    for name in (A, B, f"{B}.partial", f"{A}.partial", f"{A}.tensorrt", f"{B}.tensorrt"):
        add(tmp_path, name)
    add(tmp_path, C, age_s=10)
    sweep(tmp_path, {A}, 3600)
    assert left(tmp_path) == {A, f"{A}.partial", f"{A}.tensorrt", C}


def test_what_is_about_to_be_loaded_stays(tmp_path: Path) -> None:
    add(tmp_path, A)
    touch(tmp_path, A)
    touch(tmp_path, B)  # not cached yet
    sweep(tmp_path, set(), 3600)
    assert left(tmp_path) == {A}


def test_what_another_process_is_making_stays(tmp_path: Path) -> None:
    add(tmp_path, A)
    add(tmp_path, B)
    with (tmp_path / f"{A}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep(tmp_path, set(), 3600)
        assert left(tmp_path) == {A}
    sweep(tmp_path, set(), 3600)
    assert left(tmp_path) == set()


def test_nothing_but_artifacts_is_deleted(tmp_path: Path) -> None:
    names = {"notes", "A" * 64, "a" * 63}
    for name in names:
        add(tmp_path, name)
    target = add(tmp_path / "elsewhere", "kept")
    link = tmp_path / B
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    sweep(tmp_path, set(), 3600)
    assert left(tmp_path) == {*names, "elsewhere", B}
    assert (target / "model.onnx").exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    sweep(tmp_path / "none", set(), 3600)
