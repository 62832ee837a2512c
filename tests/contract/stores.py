"""The artifact stores that the contract suites run over: a folder, and a bucket on a local S3 server."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen
from uuid import uuid4

import obstore
from obstore.store import S3Store

from storage.artifacts import ArtifactStore, open_store


@dataclass
class Store:
    """A store, its URL, and ways to change what it holds, or whether it is there, behind its back."""

    url: str
    store: ArtifactStore
    replace: Callable[[str, bytes], object]
    take_away: Callable[[], object]


def folder_store(root: Path) -> Store:
    """A store in the folder `root`, which is not made yet."""

    def replace(sha256: str, content: bytes) -> None:
        (stored,) = root.rglob(sha256[2:])
        stored.write_bytes(content)

    return Store(str(root), open_store(str(root)), replace, lambda: root.rename(root.with_name("unmounted")))


def bucket_store(endpoint: str) -> Store:
    """A store in a new bucket of the S3 server at `endpoint`, which the AWS_* variables name too."""
    bucket = f"bucket-{uuid4().hex}"
    urlopen(Request(f"{endpoint}/{bucket}", method="PUT")).close()
    url = f"s3://{bucket}/some/prefix"
    inside = S3Store.from_url(url, client_options={"allow_http": True})

    def replace(sha256: str, content: bytes) -> None:
        obstore.put(inside, f"files/{sha256[:2]}/{sha256[2:]}", content)

    def take_away() -> None:
        whole = S3Store.from_url(f"s3://{bucket}", client_options={"allow_http": True})
        obstore.delete(whole, [found["path"] for page in obstore.list(whole) for found in page])
        urlopen(Request(f"{endpoint}/{bucket}", method="DELETE")).close()

    return Store(url, open_store(url), replace, take_away)


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
