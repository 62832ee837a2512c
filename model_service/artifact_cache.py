"""The worker's artifact cache: the folders that models are loaded from, and when they are deleted.

`storage.materialise` makes an artifact's folder and verifies its files. An engine needs the folder only while it loads,
so it may be deleted once no version of this worker has the artifact and an hour has passed since anyone began to load
it. Workers may share a cache: each touches a folder before it loads from it. Who materialises the artifact at the same
time holds its lock file, or waits for it and then makes the folder anew. The lock files, which are empty, stay: one
that is deleted could be locked twice.
"""

import fcntl
import logging
import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Final

log = logging.getLogger(__name__)

# A digest, what a worker that was killed left half built, or what TensorRT built for it. The lock is the one that
# storage.materialise takes.
_OURS: Final = re.compile(r"([0-9a-f]{64})(\.partial|\.tensorrt)?")


def touch(folder: Path, digest: str) -> None:
    """Mark the artifact as about to be loaded; to be called before `materialise`."""
    with suppress(FileNotFoundError):  # not cached yet: the folder will be new
        os.utime(folder / digest)


def sweep(folder: Path, wanted: Collection[str], older_than_s: float) -> None:
    """Delete the artifacts' folders under `folder`, but for the digests `wanted` and those touched in the last
    `older_than_s` seconds."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        found = _OURS.fullmatch(path.name)
        if found is None or found[1] in wanted:
            continue
        try:
            _delete(path, folder / f"{found[1]}.lock", time() - older_than_s)
        except OSError as error:
            log.warning("cannot delete %s, which no version here needs any more: %s", path, error)


def _delete(path: Path, lock: Path, before: float) -> None:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Only under the lock does the time say whether someone is about to load from it.
        if path.lstat().st_mtime < before and not path.is_symlink():
            shutil.rmtree(path)
    except (BlockingIOError, FileNotFoundError):
        pass  # it is being made, or another worker has deleted it
    finally:
        os.close(descriptor)
