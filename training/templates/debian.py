"""Speech, and pictures with captions in many languages: in Debian packages, fetched once into the user's caches.

What training's own packages carry has none of either.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from training.recipe.block import RecipeError


def package(name: str, *wanted: str) -> Path:
    """A folder with the package's files, those alone that `wanted` match as tar's patterns where there are any.

    apt checks what it downloads. Raises RecipeError where it cannot.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "headrace" / "debian"
    folder = cache / name
    if folder.is_dir():
        return folder
    if missing := [tool for tool in ("apt-get", "dpkg-deb", "tar") if shutil.which(tool) is None]:
        raise RecipeError(
            f"the rows of this template are in the Debian package {name}, and {missing[0]} is not installed: make the "
            f"rows on Debian or Ubuntu, or put what it holds into {folder}"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        done = subprocess.run(["apt-get", "download", name], cwd=scratch, capture_output=True, text=True)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            raise RecipeError(f"apt-get could not download {name} ({' '.join(said)}): `apt-get update` may help")
        (file,) = Path(scratch).glob("*.deb")
        into = Path(scratch) / "files"
        into.mkdir()
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], check=True, capture_output=True)
        tar = ["tar", "--extract", "--directory", str(into), "--wildcards", *wanted]
        subprocess.run(tar, input=unpacked.stdout, check=True, capture_output=True)
        into.rename(folder)
    return folder
