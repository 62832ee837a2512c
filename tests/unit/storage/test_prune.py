"""`python -m storage.prune`: the command around storage.collect, whose guarantees are in tests/contract."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

from storage.database import Database
from storage.folder_store import FolderStore
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.migrate import upgrade
from storage.registry import Registry


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A registry of one version, and a store with its file, one that nobody needs, and an upload that broke off."""
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    store = FolderStore(tmp_path / "artifacts")
    for content in (b"served", b"unused"):
        (tmp_path / "file").write_bytes(content)
        await store.put_file(tmp_path / "file")
    (tmp_path / "artifacts" / "incoming" / "broken-off").write_bytes(b"un")
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    file = FileEntry(path="m.onnx", sha256=hashlib.sha256(b"served").hexdigest(), size=6)
    database = Database.open(url)
    manifest = Manifest(name="m", model="m.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,))
    await Registry(database).publish(manifest, has=store.has)
    await database.close()
    return tmp_path


async def run(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "storage.prune", *arguments),
        env={
            "HEADRACE_DATABASE_URL": f"sqlite:///{folder}/registry.db",
            "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def kept(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "artifacts").rglob("*") if path.is_file())


async def test_the_command_deletes_what_is_old_and_unused_and_says_so(folder: Path) -> None:
    for path in (folder / "artifacts").rglob("*"):
        os.utime(path, (0, 0))
    code, out, _ = await run(folder, "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "would delete 1 files (6 bytes) and 1 uploads that broke off")
    assert len(kept(folder)) == 3
    code, out, _ = await run(folder)
    assert (code, out.splitlines()[-1]) == (0, "deleted 1 files (6 bytes) and 1 uploads that broke off")
    assert out.startswith(hashlib.sha256(b"unused").hexdigest())
    assert kept(folder) == [b"served"]


async def test_what_is_younger_than_a_day_or_the_hours_given_stays(folder: Path) -> None:
    for arguments in ([], ["--older-than", "0.5"]):
        code, out, _ = await run(folder, *arguments)
        assert (code, out) == (0, "deleted 0 files (0 bytes) and 0 uploads that broke off\n")
    assert len(kept(folder)) == 3


@pytest.mark.parametrize("hours", ["-1", "soon", "nan", "1e300"])
async def test_hours_that_are_no_age_are_refused(folder: Path, hours: str) -> None:
    code, _, err = await run(folder, f"--older-than={hours}")
    assert code == 2
    assert "--older-than" in err.splitlines()[-1]


async def test_a_registry_that_was_never_migrated_is_told_and_nothing_deleted(folder: Path) -> None:
    (folder / "registry.db").unlink()
    code, _, err = await run(folder, "--older-than", "0")
    assert code == 1
    assert err.startswith("error: The database lacks tables")
    assert len(kept(folder)) == 3
