"""What every artifact store guarantees: a folder, and a bucket on a local S3 server."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.errors import CorruptFile, InvalidArtifact, MissingFile, Unavailable
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.stored_files import StoredFile
from tests.contract.stores import Store, pieces

LARGE = bytes(range(256)) * 10_000  # 2.56 MB: three chunks


@pytest.fixture
def store(either: Store) -> ArtifactStore:
    return either.store


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def whole(store: ArtifactStore, name: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(name)])


def manifest_of(files: dict[str, bytes]) -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    entries = tuple(FileEntry(path=path, sha256=sha256(c), size=len(c)) for path, c in files.items())
    return Manifest(name="m", model=next(iter(files)), inputs=(tensor,), outputs=(tensor,), files=entries)


FILES = {"model.onnx": LARGE, "tokenizer/vocab.txt": b"a\nb\n", "empty": b""}


async def filled(store: ArtifactStore) -> Manifest:
    for content in FILES.values():
        await store.put(pieces(content))
    return manifest_of(FILES)


async def listed(store: ArtifactStore) -> list[StoredFile]:
    return [file async for file in store.files()]


def folders(parent: Path) -> list[str]:
    return [path.name for path in parent.iterdir() if path.is_dir()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [b"", b"x", LARGE[: 1 << 20], LARGE])
async def test_what_was_put_is_read_back(store: ArtifactStore, content: bytes) -> None:
    ref = await store.put(pieces(content))
    assert (ref.sha256, ref.size) == (sha256(content), len(content))
    assert await store.has(ref.sha256)
    assert await whole(store, ref.sha256) == content


async def test_a_file_on_disk_is_stored_as_its_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(LARGE)
    ref = await store.put_file(path)
    assert (ref.sha256, ref.size) == (sha256(LARGE), len(LARGE))
    assert await whole(store, ref.sha256) == LARGE


async def test_a_file_on_disk_that_is_not_what_it_was_is_not_stored(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"as it was checked")
    checked = sha256(b"as it was checked")
    assert (await store.put_file(path, checked)).sha256 == checked
    path.write_bytes(LARGE)
    with pytest.raises(CorruptFile, match="nothing was stored"):
        await store.put_file(path, checked)
    assert not await store.has(sha256(LARGE))


async def test_an_upload_that_is_not_what_it_claims_to_be_is_not_stored(store: ArtifactStore) -> None:
    claimed = sha256(b"something else")
    with pytest.raises(CorruptFile, match="nothing was stored"):
        await store.put(pieces(LARGE), claimed)
    assert not await store.has(claimed)
    assert not await store.has(sha256(LARGE))
    assert (await store.put(pieces(LARGE), sha256(LARGE))).size == len(LARGE)


async def test_an_upload_that_breaks_off_is_not_stored(store: ArtifactStore) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield LARGE
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(breaking(), sha256(LARGE))
    assert not await store.has(sha256(LARGE))


async def test_the_same_bytes_put_many_times_at_once_are_one_whole_file(store: ArtifactStore) -> None:
    refs = await asyncio.gather(*(store.put(pieces(LARGE)) for _ in range(4)))
    assert len(set(refs)) == 1
    assert await whole(store, refs[0].sha256) == LARGE


@pytest.mark.parametrize("bad", [b"", LARGE[:-1], LARGE[:-1] + b"\0", LARGE + b"\0", LARGE[: 1 << 20]])
async def test_a_file_whose_bytes_have_changed_is_never_handed_out_as_whole(either: Store, bad: bytes) -> None:
    ref = await either.store.put(pieces(LARGE))
    either.replace(ref.sha256, bad)
    seen = bytearray()

    async def read() -> None:
        async for chunk in either.store.read(ref.sha256):
            seen.extend(chunk)

    with pytest.raises(CorruptFile, match=ref.sha256):
        await read()
    assert len(seen) < max(len(bad), 1)


async def test_uploading_again_mends_a_corrupt_file(either: Store) -> None:
    ref = await either.store.put(pieces(LARGE))
    either.replace(ref.sha256, b"rubbish")
    await either.store.put(pieces(LARGE))
    assert await whole(either.store, ref.sha256) == LARGE


async def test_a_file_that_is_not_there_is_missing(store: ArtifactStore) -> None:
    absent = "0" * 64
    assert not await store.has(absent)
    await store.put(pieces(b"x"))
    assert not await store.has(absent)
    with pytest.raises(MissingFile, match=absent):
        await whole(store, absent)


async def test_a_store_that_is_away_is_unavailable_and_no_file_of_it_missing(either: Store, tmp_path: Path) -> None:
    manifest = await filled(either.store)
    either.take_away()
    with pytest.raises(Unavailable, match=either.url):
        await whole(either.store, sha256(LARGE))
    with pytest.raises(Unavailable, match=either.url):
        await either.store.materialise(manifest, tmp_path / "models")
    with pytest.raises(Unavailable, match=either.url):
        await listed(either.store)
    with pytest.raises(Unavailable, match=either.url):
        await either.store.has(sha256(LARGE))
    with pytest.raises(Unavailable, match=either.url):
        await either.store.put(pieces(LARGE))


async def test_a_deleted_file_is_gone_and_deleting_again_is_no_error(store: ArtifactStore) -> None:
    ref = await store.put(pieces(b"x"))
    await store.delete(ref.sha256)
    await store.delete(ref.sha256)
    assert not await store.has(ref.sha256)


async def test_every_file_is_listed_with_when_it_was_put_last(either: Store) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)  # S3 tells whole seconds
    await filled(either.store)
    files = await listed(either.store)
    assert sorted((file.sha256, file.size) for file in files) == sorted((sha256(c), len(c)) for c in FILES.values())
    assert all(before < file.put_at <= datetime.now(UTC) for file in files)


async def test_a_finished_upload_leaves_nothing_to_discard(store: ArtifactStore) -> None:
    await filled(store)
    later = datetime.now(UTC) + timedelta(days=1)
    assert await store.discard_uploads(later) == 0
    assert len(await listed(store)) == len(FILES)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "0" * 62 + "/x"])
async def test_what_is_no_sha256_is_refused_before_anything_is_read(store: ArtifactStore, name: str) -> None:
    asked = []

    async def body() -> AsyncIterator[bytes]:
        asked.append(name)
        yield b"x"

    for refused in (store.put(body(), name), store.has(name), store.delete(name), whole(store, name)):
        with pytest.raises(InvalidArtifact, match="is no sha256"):
            await refused
    assert asked == []


# Materialising


async def test_a_materialised_folder_holds_the_manifests_files_and_is_named_by_its_digest(
    store: ArtifactStore, tmp_path: Path
) -> None:
    manifest = await filled(store)
    folder = await store.materialise(manifest, tmp_path / "new" / "models")
    assert folder == tmp_path / "new" / "models" / manifest.digest
    assert contents(folder) == FILES
    assert await store.materialise(manifest, tmp_path / "new" / "models") == folder


async def test_a_corrupt_or_missing_file_leaves_no_folder(either: Store, tmp_path: Path) -> None:
    manifest = await filled(either.store)
    either.replace(sha256(LARGE), LARGE[:-1] + b"\0")
    with pytest.raises(CorruptFile):
        await either.store.materialise(manifest, tmp_path / "models")
    await either.store.delete(sha256(LARGE))
    with pytest.raises(MissingFile):
        await either.store.materialise(manifest, tmp_path / "models")
    assert folders(tmp_path / "models") == []
    await either.store.put(pieces(LARGE))
    assert contents(await either.store.materialise(manifest, tmp_path / "models")) == FILES


async def test_many_may_materialise_at_once(store: ArtifactStore, tmp_path: Path) -> None:
    manifest = await filled(store)
    built = await asyncio.gather(*(store.materialise(manifest, tmp_path / "models") for _ in range(4)))
    assert len(set(built)) == 1
    assert contents(built[0]) == FILES
