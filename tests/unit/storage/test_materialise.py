"""A folder to load from is complete and verified, or not there."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.errors import InvalidArtifact
from storage.folder_store import FolderStore
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.materialise import materialise

FILES = {"model.onnx": b"graph", "data/weights.bin": b"weights"}
BY_SHA256 = {hashlib.sha256(content).hexdigest(): content for content in FILES.values()}


async def read(sha256: str) -> AsyncIterator[bytes]:
    yield BY_SHA256[sha256]


def entry(path: str, content: bytes, size: int | None = None) -> FileEntry:
    return FileEntry(path=path, sha256=hashlib.sha256(content).hexdigest(), size=len(content) if size is None else size)


def manifest(*entries: FileEntry) -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    files = entries or tuple(entry(path, content) for path, content in FILES.items())
    return Manifest(name="m", model=files[0].path, inputs=(tensor,), outputs=(tensor,), files=files)


def folders(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.is_dir()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"GRAPH")


def truncate(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / "data/weights.bin").unlink()


def add(folder: Path) -> None:
    (folder / "model.onnx.data").write_bytes(b"weights of somebody else")


def link_file(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.write_bytes(b"graph")
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(outside)


def link_folder(folder: Path) -> None:
    (folder / "data").rename(folder.parent / "elsewhere")
    (folder / "data").symlink_to(folder.parent / "elsewhere")


def link_all(folder: Path) -> None:
    folder.rename(folder.parent / "moved")
    folder.symlink_to(folder.parent / "moved")


def make_pipe(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def replace_by_file(folder: Path) -> None:
    folder.rename(folder.parent / "moved")
    folder.write_bytes(b"")


@pytest.mark.parametrize(
    "tamper", [change, truncate, remove, add, link_file, link_folder, link_all, make_pipe, replace_by_file]
)
async def test_a_folder_that_was_tampered_with_is_built_anew(tmp_path: Path, tamper: Callable[[Path], None]) -> None:
    folder = await materialise(read, manifest(), tmp_path / "models")
    tamper(folder)
    assert await materialise(read, manifest(), tmp_path / "models") == folder
    assert contents(folder) == FILES
    assert not any(path.is_symlink() for path in [folder, *folder.rglob("*")])


async def test_an_intact_folder_is_verified_without_fetching_anything(tmp_path: Path) -> None:
    folder = await materialise(read, manifest(), tmp_path)

    async def unreachable(sha256: str) -> AsyncIterator[bytes]:
        raise ConnectionError(sha256)
        yield b""

    assert await materialise(unreachable, manifest(), tmp_path) == folder


async def test_what_a_killed_process_left_behind_does_not_get_into_the_folder(tmp_path: Path) -> None:
    partial = tmp_path / f"{manifest().digest}.partial"
    partial.mkdir()
    (partial / "model.onnx").write_bytes(b"gra")
    (partial / "junk").write_bytes(b"junk")
    assert contents(await materialise(read, manifest(), tmp_path)) == FILES
    assert not partial.exists()


async def test_nobody_sees_the_folder_before_it_is_complete(tmp_path: Path) -> None:
    fetched, go_on = asyncio.Event(), asyncio.Event()

    async def slow(sha256: str) -> AsyncIterator[bytes]:
        yield BY_SHA256[sha256]
        fetched.set()
        await go_on.wait()

    building = asyncio.create_task(materialise(slow, manifest(), tmp_path))
    await fetched.wait()
    assert not (tmp_path / manifest().digest).exists()
    go_on.set()
    assert contents(await building) == FILES


async def test_many_that_ask_at_once_fetch_each_file_once(tmp_path: Path) -> None:
    fetched = []

    async def counted(sha256: str) -> AsyncIterator[bytes]:
        fetched.append(sha256)
        yield BY_SHA256[sha256]

    built = await asyncio.gather(*(materialise(counted, manifest(), tmp_path) for _ in range(4)))
    assert len(set(built)) == 1
    assert sorted(fetched) == sorted(BY_SHA256)


async def test_a_cancelled_call_leaves_nothing_and_does_not_block_the_next(tmp_path: Path) -> None:
    fetched = asyncio.Event()

    async def endless(sha256: str) -> AsyncIterator[bytes]:
        yield BY_SHA256[sha256]
        fetched.set()
        await asyncio.Event().wait()

    building = asyncio.create_task(materialise(endless, manifest(), tmp_path))
    await fetched.wait()
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert folders(tmp_path) == []
    assert contents(await materialise(read, manifest(), tmp_path)) == FILES


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("model.onnx", b"graph", size=4)], "has 5 bytes, and 4 in the manifest"),
    ],
)
async def test_a_manifest_that_cannot_be_true_is_refused_and_leaves_no_folder(
    tmp_path: Path, entries: list[FileEntry], message: str
) -> None:
    with pytest.raises(InvalidArtifact, match=message):
        await materialise(read, manifest(*entries), tmp_path)
    assert folders(tmp_path) == []


MATERIALISE = """
import asyncio, sys
from pathlib import Path
from storage.folder_store import FolderStore
from storage.manifest import Manifest
manifest = Manifest.model_validate_json(Path(sys.argv[1]).read_bytes())
print(asyncio.run(FolderStore(Path(sys.argv[2])).materialise(manifest, Path(sys.argv[3]))))
"""


async def test_processes_that_materialise_at_once_all_get_the_same_whole_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for name, content in FILES.items():
        (tmp_path / "file").write_bytes(content)
        assert (await store.put_file(tmp_path / "file")).sha256 == entry(name, content).sha256
    (tmp_path / "manifest.json").write_text(manifest().model_dump_json())
    arguments = [str(tmp_path / name) for name in ("manifest.json", "store", "models")]
    # One that is there but broken is what they could fight over.
    (tmp_path / "models" / manifest().digest).mkdir(parents=True)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", MATERIALISE, *arguments, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    printed = [(await process.communicate())[0].decode().strip() for process in processes]
    assert printed == [str(tmp_path / "models" / manifest().digest)] * 3
    assert contents(Path(printed[0])) == FILES
