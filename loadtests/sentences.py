"""2,000 real English sentences of mixed length: film and product reviews, tweets and newspaper editorials.

They are the texts of C.J. Hutto and E. Gilbert's ICWSM 2014 data set, which the sdist of vaderSentiment (MIT) carries.
"""

import io
import json
import random
import tarfile
import tempfile
from pathlib import Path

from loadtests.models import CACHE, check_sha256, download

COUNT = 2000
PACKAGE = "vaderSentiment==3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
MEMBER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")


def sentences() -> list[str]:
    """The sentences, the same ones in the same shuffled order each time; fetched with pip the first time."""
    cached = CACHE / "sentences.json"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(json.dumps(_fetch()))
    texts: list[str] = json.loads(cached.read_text())
    return texts


def _fetch() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        sdist = download(PACKAGE, Path(folder), "--no-binary=:all:").read_bytes()
    check_sha256(sdist, SHA256, PACKAGE)
    inner = _member(sdist, MEMBER)
    pick = random.Random(7)
    texts: list[str] = []
    for source in SOURCES:
        lines = _member(inner, f"hutto_ICWSM_2014/{source}_GroundTruth.txt").decode().splitlines()
        unique = sorted({line.split("\t", 2)[2].strip() for line in lines})
        texts += pick.sample(unique, COUNT // len(SOURCES))
    pick.shuffle(texts)
    return texts


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.extractfile(name)
        assert member is not None, f"{name} is not a file"
        return member.read()
