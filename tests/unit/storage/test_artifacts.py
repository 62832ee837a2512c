"""What is a folder's or a bucket's alone; what both guarantee is in tests/contract."""

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.artifacts import open_store
from storage.errors import InvalidUrl, MissingFile, Unavailable
from storage.folder_store import FolderStore
from tests.contract.stores import pieces
from tests.servers import free_port

SHA256 = hashlib.sha256(b"secret").hexdigest()


@pytest.mark.parametrize("url", ["", "gs://bucket", "http://127.0.0.1/x", "s3://", "s3:///prefix"])
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl, match="s3://bucket/prefix"):
        open_store(url)


async def test_nothing_is_written_where_something_is_only_read(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    assert not await store.has(SHA256)
    assert not (tmp_path / "store").exists()


async def test_a_link_in_the_store_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    link = tmp_path / "store" / "files" / SHA256[:2] / SHA256[2:]
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    store = FolderStore(tmp_path / "store")
    assert not await store.has(SHA256)
    with pytest.raises(MissingFile):
        await anext(store.read(SHA256))


async def test_uploads_leave_nothing_but_the_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    store = FolderStore(tmp_path / "store")
    await store.put_file(tmp_path / "file")
    await store.put_file(tmp_path / "file")
    stored = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in stored] == [b"secret"]


async def test_a_file_that_is_put_again_is_young_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"secret")
    store = FolderStore(tmp_path / "store")
    await store.put_file(tmp_path / "file")
    (stored,) = (tmp_path / "store" / "files").rglob("*" + SHA256[2:])
    os.utime(stored, (0, 0))
    assert [file.put_at.year async for file in store.files()] == [1970]
    await store.put_file(tmp_path / "file")
    assert [file.put_at.year async for file in store.files()] != [1970]


async def test_what_an_upload_left_that_broke_off_is_discarded_once_it_is_old(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "old").write_bytes(b"half a fi")
    (tmp_path / "incoming" / "young").write_bytes(b"half a fi")
    os.utime(tmp_path / "incoming" / "old", (0, 0))
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert await store.discard_uploads(an_hour_ago, dry_run=True) == 1
    assert await store.discard_uploads(an_hour_ago) == 1
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["young"]


async def test_what_is_none_of_the_stores_files_is_not_listed(tmp_path: Path) -> None:
    folder = tmp_path / "files" / SHA256[:2]
    (folder / SHA256[2:]).mkdir(parents=True)
    (folder / ("0" * 62)).symlink_to(tmp_path)
    (folder / "README").write_text("")
    (folder.parent / "README").write_text("")
    assert [file async for file in FolderStore(tmp_path).files()] == []


async def test_a_folder_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "files").write_bytes(b"not a folder")
    with pytest.raises(Unavailable, match="not mounted"):
        await anext(FolderStore(tmp_path).read(SHA256))
    (tmp_path / "files").unlink()
    (tmp_path / "files").symlink_to(tmp_path / "files")
    with pytest.raises(Unavailable, match="not mounted"):
        await anext(FolderStore(tmp_path).read(SHA256))


async def test_a_bucket_that_cannot_be_reached_is_unavailable_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    store = open_store("s3://bucket")
    for asking in (store.has(SHA256), anext(store.read(SHA256)), anext(store.files())):
        with pytest.raises(Unavailable, match="s3://bucket"):
            await asking


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that is full: the kernel lets no file of this process grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_takes_no_more_is_unavailable_and_keeps_nothing_half_written(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    await store.put(pieces(b"secret"))
    for size in (1 << 19, 3 << 20):  # written at the end, and on the way
        with files_of_at_most(1 << 18), pytest.raises(Unavailable, match=f"{tmp_path}.*File too large"):
            await store.put(pieces(bytes(size)))
    assert list((tmp_path / "incoming").iterdir()) == []
    assert await store.has(SHA256)


async def test_a_store_that_is_full_says_so(tmp_path: Path) -> None:
    # What a file is written to that is created there is a device that is always full.
    store = FolderStore(tmp_path)

    async def fill() -> AsyncIterator[bytes]:
        await asyncio.to_thread(fill_up)
        yield b"secret"

    def fill_up() -> None:
        (incoming,) = (tmp_path / "incoming").iterdir()
        descriptor = next(fd for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == incoming)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, int(descriptor.name))
        os.close(full)

    with pytest.raises(Unavailable, match=r"is full, free some space"):
        await store.put(fill())


@pytest.mark.parametrize("broken", ["a file in its place", "nothing may be written"])
async def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path, broken: str) -> None:
    root = tmp_path / "store"
    if broken == "a file in its place":
        root.write_bytes(b"")
    else:
        root.symlink_to("/proc/self")  # a folder in which nobody can make one
    with pytest.raises(Unavailable, match=f"the artifact store {root}"):
        await FolderStore(root).put(pieces(b"secret"))


async def test_a_store_that_was_there_and_is_gone_is_away_and_a_new_one_is_empty(tmp_path: Path) -> None:
    root = tmp_path / "store"
    store = FolderStore(root)
    assert not await store.has(SHA256)  # it may be written to yet
    await FolderStore(root).put(pieces(b"secret"))  # by another process
    assert await store.has(SHA256)
    root.rename(tmp_path / "unmounted")
    for asking in (store.has(SHA256), store.put(pieces(b"secret"))):
        with pytest.raises(Unavailable, match="not mounted"):
            await asking
    assert not root.exists(), "what is put beside a store that is away would be lost when it is back"
    (tmp_path / "unmounted").rename(root)
    assert await store.has(SHA256)
