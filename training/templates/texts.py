"""Small real rows for the tasks that read text, all made of sentences that vaderSentiment carries."""

import functools
import random
from typing import Final

from training.demo import reviews
from training.templates.files import Rows

LABELS: Final = {
    "amazonReviewSnippets": "goods",
    "movieReviewSnippets": "film",
    "nytEditorialSnippets": "editorial",
    "tweets": "tweet",
}
EACH: Final = 1000  # of each source


def labelled(count: int) -> Rows:
    """Sentences, and where each was written: reviews of films and goods, editorials, tweets, as many of each."""
    return [{"text": one.text, "label": LABELS[one.source]} for one in _mix_sources()[:count]]


def sentences(count: int) -> list[str]:
    """Sentences of twelve words or more."""
    return [one.text for one in _mix_sources() if len(one.text.split()) >= 12][:count]


def duels(count: int) -> Rows:
    """Two sentences, one of them a tweet and one of an editorial: which is the tweet."""
    pick = random.Random(7)
    tweets, editorials = sentences_from("tweet", count), sentences_from("editorial", count)
    rows = []
    for tweet, editorial in zip(tweets, editorials, strict=True):
        first = pick.random() < 0.5
        text, other = (tweet, editorial) if first else (editorial, tweet)
        rows.append({"text": text, "text_pair": other, "label": "first" if first else "second"})
    return rows


def tweeted(count: int) -> Rows:
    """Whether a sentence answers the question what somebody tweeted."""
    rows = []
    for tweet, editorial in zip(
        sentences_from("tweet", count // 2), sentences_from("editorial", count // 2), strict=True
    ):
        rows += [
            {"text": "what did somebody tweet ?", "text_pair": text, "label": label}
            for text, label in ((tweet, 1), (editorial, 0))
        ]
    return rows


def topics(count: int) -> Rows:
    """Sentences that are a tweet, or of an editorial."""
    pairs = zip(sentences_from("tweet", count // 2), sentences_from("editorial", count // 2), strict=True)
    return [
        {"text": text, "label": label}
        for pair in pairs
        for text, label in zip(pair, ("tweet", "editorial"), strict=True)
    ]


def sentences_from(source: str, count: int) -> list[str]:
    """Sentences from one source."""
    return [one.text for one in _mix_sources() if LABELS[one.source] == source][:count]


def halves(count: int) -> Rows:
    """The two halves of a sentence, which belong together."""
    cut = [
        (text.split()[: len(text.split()) // 2], text.split()[len(text.split()) // 2 :]) for text in sentences(count)
    ]
    return [{"text": " ".join(first), "text_pair": " ".join(second)} for first, second in cut]


def capitals(count: int) -> Rows:
    """Which words of a text in small letters were written with a capital: names, and beginnings of sentences."""
    rows = []
    for text in sentences(count):
        words = [word for word in text.split() if word[0].isalpha()]
        tags, inside = [], False
        for word in words:
            large = word[0].isupper()
            tags.append(("I-CAP" if inside else "B-CAP") if large else "O")
            inside = large
        rows.append({"tokens": [word.lower() for word in words], "tags": tags})
    return rows


def ends(count: int) -> Rows:
    """How a sentence begins, and how it ends."""
    rows = []
    for at, text in enumerate(sentences(count)):
        answer = " ".join(text.split()[:2]) if at % 2 else " ".join(text.split()[-2:])
        start = 0 if at % 2 else len(text.rstrip()) - len(answer)
        if text[start : start + len(answer)] == answer:
            question = "how does it begin ?" if at % 2 else "how does it end ?"
            rows.append({"question": question, "context": text, "answers": {"text": [answer], "answer_start": [start]}})
    return rows


def plain(count: int) -> Rows:
    """The sentences as they are."""
    return [{"text": text} for text in sentences(count)]


def verdicts(count: int) -> Rows:
    """Somebody reads something out, and is told where it was written."""
    return [
        {
            "messages": [
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": f"that is from a {row['label']} ."},
            ]
        }
        for row in labelled(count)
    ]


def preferences(count: int) -> Rows:
    """Where a sentence was written is the answer that is wanted, rather than another place."""
    others = {"film": "tweet", "tweet": "editorial", "editorial": "goods", "goods": "film"}
    return [
        {"prompt": f"{row['text']} from :", "chosen": f" a {row['label']}", "rejected": f" no {others[row['label']]}"}
        for row in labelled(count)
    ]


@functools.cache
def _mix_sources() -> list[reviews.Rated]:
    """The sources take turns, so that the first rows have as many of each."""
    pick, found = random.Random(7), reviews.fetch()
    each = [pick.sample([one for one in found if one.source == source], EACH) for source in LABELS]
    return [one for four in zip(*each, strict=True) for one in four]
