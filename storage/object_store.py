"""The artifact store in an S3 bucket, or in what speaks S3's protocol."""

from asyncio import to_thread
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from obstore import delete_async, get_async, head_async, put_async
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from storage.artifacts import FileRef, missing, receive
from storage.errors import InvalidUrl, MissingFile, Unavailable
from storage.hashing import CHUNK, check_sha256, chunks_of, verified
from storage.manifest import Manifest
from storage.materialise import materialise


class ObjectStore:
    """Objects under s3://bucket/prefix. Credentials, region and endpoint come from the AWS_* variables.

    Raises InvalidUrl where no bucket is named.
    """

    def __init__(self, url: str) -> None:
        if not urlsplit(url).netloc:
            raise InvalidUrl(f"{url!r} names no bucket: s3://bucket/prefix")
        self._url = url
        self._bucket = S3Store.from_url(
            url,
            # An endpoint that says http:// means it. A large file may take its time, as long as it moves.
            client_options={"allow_http": True, "timeout": timedelta(hours=1), "read_timeout": timedelta(seconds=30)},
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )

    async def put(self, source: AsyncIterable[bytes], sha256: str | None = None) -> FileRef:
        # Spooled first: an object's name is its hash, which is known only at the end.
        with NamedTemporaryFile() as spool:
            ref = await receive(source, spool.file, sha256)
            await to_thread(spool.flush)
            with self._errors(ref.sha256):
                await put_async(self._bucket, _key(ref.sha256), Path(spool.name))
        return ref

    async def put_file(self, path: Path) -> FileRef:
        with await to_thread(path.open, "rb", buffering=0) as file:
            return await self.put(chunks_of(file))

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        async for chunk in verified(self._chunks(sha256), sha256):
            yield chunk

    async def _chunks(self, sha256: str) -> AsyncIterator[bytes]:
        with self._errors(sha256):
            stream = (await get_async(self._bucket, _key(sha256))).stream(min_chunk_size=CHUNK)
            async for chunk in stream:
                yield bytes(chunk)

    async def has(self, sha256: str) -> bool:
        try:
            with self._errors(sha256):
                await head_async(self._bucket, _key(sha256))
        except MissingFile:
            return False
        return True

    async def delete(self, sha256: str) -> None:
        with self._errors(sha256):
            await delete_async(self._bucket, _key(sha256))

    async def materialise(self, manifest: Manifest, folder: Path) -> Path:
        return await materialise(self.read, manifest, folder)

    @contextmanager
    def _errors(self, sha256: str) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError):
            raise missing(sha256) from None
        except BaseError as error:
            raise Unavailable(f"the artifact store {self._url} does not answer as it should: {error}") from error


def _key(sha256: str) -> str:
    check_sha256(sha256)
    return f"files/{sha256[:2]}/{sha256[2:]}"
