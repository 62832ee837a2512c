"""The folders in which artifacts were laid out to be loaded from, and their end.

An engine needs its folder only while it loads. So a folder may go once no version of this worker has it and an hour has
passed since anyone began to load from it: workers that share the folder above touch it before they load. Whoever has
`materialise` lay the same artifact out meanwhile holds its lock file, or waits for it and then builds anew. The lock
files, which are empty, stay: one that is deleted could be locked twice.
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

# A digest, or what a worker that was killed left half built. The lock is the one that storage.materialise takes.
_OURS: Final = re.compile(r"([0-9a-f]{64})(\.partial)?")


def touch(folder: Path, digest: str) -> None:
    """Say that the artifact is about to be loaded, before `materialise` is asked for it."""
    with suppress(FileNotFoundError):  # laid out for the first time, it is new anyway
        os.utime(folder / digest)


def sweep(folder: Path, wanted: Collection[str], older_than_s: float) -> None:
    """Delete the artifacts' folders under `folder`, but for the digests `wanted` and what was touched since."""
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
        pass  # it is being laid out, or another worker was faster
    finally:
        os.close(descriptor)
