"""Sentences that people rated from -4, most negative, to 4: film and product reviews, tweets, newspaper editorials.

They are C.J. Hutto and E. Gilbert's ICWSM 2014 data set, which the sdist of vaderSentiment (MIT) carries.
"""

from typing import Final, NamedTuple

from training.data.fetch import fetch as fetch_file

PACKAGE: Final = "vaderSentiment==3.3.2"
SHA256: Final = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
SOURCES: Final = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")
_FOLDER: Final = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014"


class Rated(NamedTuple):
    """A sentence, the mean of its ratings and which of SOURCES it is of."""

    text: str
    rating: float
    source: str


def fetch() -> list[Rated]:
    """All of them in the data set's order, fetched with pip the first time.

    Raises RecipeError where pip fails, or where the package has changed.
    """
    return [rated for source in SOURCES for rated in _read(source)]


def _read(source: str) -> list[Rated]:
    path = fetch_file(f"pip:{PACKAGE}!{_FOLDER}/{source}_GroundTruth.txt", SHA256)
    rows = (line.split("\t", 2) for line in path.read_text().splitlines())
    return [Rated(text.strip(), float(rating), source) for _, rating, text in rows]
