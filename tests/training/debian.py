"""What Debian packages hold, downloaded once into the user's folder of caches: speech, and pictures with captions."""

import os
import subprocess
import tempfile
from pathlib import Path


def package(name: str, *wanted: str) -> Path:
    """A folder with the package's files, those alone that `wanted` match as tar's patterns where there are any.

    apt checks what it downloads.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headrace" / "debian"
    folder = cache / name
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        subprocess.run(["apt-get", "download", name], cwd=scratch, check=True, capture_output=True)
        (file,) = Path(scratch).glob("*.deb")
        into = Path(scratch) / "files"
        into.mkdir()
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], check=True, capture_output=True)
        tar = ["tar", "--extract", "--directory", str(into), "--wildcards", *wanted]
        subprocess.run(tar, input=unpacked.stdout, check=True, capture_output=True)
        into.rename(folder)
    return folder
