"""What is a folder's or a bucket's alone; what both guarantee is in tests/contract."""

import hashlib
from pathlib import Path

import pytest

from storage.artifacts import FolderStore, open_store
from storage.errors import InvalidUrl, MissingFile, Unavailable
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


async def test_a_bucket_that_cannot_be_reached_is_unavailable_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(Unavailable, match="s3://bucket"):
        await open_store("s3://bucket").has(SHA256)
