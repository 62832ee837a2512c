"""Real English sentences of mixed length: film and product reviews, tweets and newspaper editorials."""

import json
import random
from typing import TypedDict

from loadtests.models import CACHE
from training.demo import reviews

COUNT = 2000


class Corpus(TypedDict):
    """Where the sentences come from."""

    what: str
    package: str
    version: str
    sources: list[str]  # files of the package
    count: int  # of different sentences


def sentences() -> list[str]:
    """2,000 of them, as many of each source, the same ones in the same shuffled order each time."""
    pick = random.Random(7)
    by_source = _by_source()
    texts = [text for unique in by_source.values() for text in pick.sample(unique, COUNT // len(by_source))]
    pick.shuffle(texts)
    return texts


def corpus() -> list[str]:
    """All of them, none twice, in the same shuffled order each time."""
    texts = sorted({text for unique in _by_source().values() for text in unique})
    random.Random(7).shuffle(texts)
    return texts


def described() -> Corpus:
    """What `corpus` is."""
    package, _, version = reviews.PACKAGE.partition("==")
    return Corpus(
        what="film and product reviews, tweets and newspaper editorials, from C.J. Hutto and E. Gilbert (2014)",
        package=package,
        version=version,
        sources=[f"hutto_ICWSM_2014/{source}_GroundTruth.txt" for source in reviews.SOURCES],
        count=len(corpus()),
    )


def _by_source() -> dict[str, list[str]]:
    """Each source's sentences, sorted, none twice; fetched the first time."""
    cached = CACHE / "sentences.json"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        found: dict[str, set[str]] = {source: set() for source in reviews.SOURCES}
        for rated in reviews.fetch():
            found[rated.source].add(rated.text)
        cached.write_text(json.dumps({source: sorted(unique) for source, unique in found.items()}))
    texts: dict[str, list[str]] = json.loads(cached.read_text())
    return texts
