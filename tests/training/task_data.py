"""Small real data for every task, made of what packages carry: sentences, heights, digits, tumours, diabetes."""

import random
from importlib.resources import files
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from tests.training import train_stage

Rows = list[dict[str, Any]]


def sentences(count: int) -> list[str]:
    """Sentences of twelve words or more."""
    texts = [text for split in train_stage.rows(3 * count, 100).values() for text in split["text"]]
    return [text for text in texts if len(text.split()) >= 12][:count]


def duels(count: int) -> Rows:
    """Two sentences, one of them a tweet and one of an editorial: which is the tweet."""
    pick = random.Random(7)
    tweets, editorials = written("tweet", count), written("editorial", count)
    rows = []
    for tweet, editorial in zip(tweets, editorials, strict=True):
        first = pick.random() < 0.5
        text, other = (tweet, editorial) if first else (editorial, tweet)
        rows.append({"text": text, "text_pair": other, "label": "first" if first else "second"})
    return rows


def tweeted(count: int) -> Rows:
    """Whether a sentence answers the question what somebody tweeted."""
    rows = []
    for tweet, editorial in zip(written("tweet", count // 2), written("editorial", count // 2), strict=True):
        rows += [
            {"text": "what did somebody tweet ?", "text_pair": text, "label": label}
            for text, label in ((tweet, 1.0), (editorial, 0.0))
        ]
    return rows


def topics(count: int) -> Rows:
    """Sentences that are a tweet, or of an editorial."""
    pairs = zip(written("tweet", count // 2), written("editorial", count // 2), strict=True)
    return [
        {"text": text, "label": label}
        for pair in pairs
        for text, label in zip(pair, ("tweet", "editorial"), strict=True)
    ]


def written(source: str, count: int) -> list[str]:
    """Sentences from one source."""
    rows = train_stage.rows(3900, 20)["train"]
    return [row["text"] for row in rows if row["label"] == source][:count]


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


def texts(count: int) -> Rows:
    """The sentences as they are."""
    return [{"text": text} for text in sentences(count)]


def verdicts(count: int) -> Rows:
    """Somebody reads something out, and is told where it was written."""
    whole = train_stage.rows(count, 20)["train"]
    return [
        {
            "messages": [
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": f"that is from a {row['label']} ."},
            ]
        }
        for row in whole
    ]


def preferences(count: int) -> Rows:
    """Where a sentence was written is the answer that is wanted, rather than another place."""
    whole = list(train_stage.rows(count, 20)["train"])
    others = {"film": "tweet", "tweet": "editorial", "editorial": "goods", "goods": "film"}
    return [
        {"prompt": f"{row['text']} from :", "chosen": f" a {row['label']}", "rejected": f" no {others[row['label']]}"}
        for row in whole
    ]


def openings(count: int) -> Rows:
    """A sentence, and its first three words in small letters."""
    return [{"source": text, "target": " ".join(text.split()[:3]).lower()} for text in sentences(count)]


def digits(count: int) -> Rows:
    """8 by 8 greys."""
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
    return [
        {"image": Image.fromarray(image), "label": str(label)} for image, label in zip(images, labels, strict=True)
    ][:count]


def tumours(count: int) -> Rows:
    """Measurements of cells, and what they were."""
    found = load_breast_cancer()
    return _numbers(found.data, found.feature_names, "label", [str(found.target_names[one]) for one in found.target])[
        :count
    ]


def diabetes(count: int) -> Rows:
    """Measurements of people, and how their illness went on."""
    found = load_diabetes(scaled=False)
    return _numbers(found.data, found.feature_names, "target", [float(one) for one in found.target])[:count]


def heights(count: int) -> Rows:
    """Pieces of profiles through the land around Jacksboro, which come with matplotlib: points at equal distances."""
    with np.load(str(files("matplotlib") / "mpl-data" / "sample_data" / "jacksboro_fault_dem.npz")) as found:
        profiles = found["elevation"][::10].astype(float)  # neighbours are too much alike to be judged by each other
    scaled = (profiles - profiles.mean()) / profiles.std()
    pieces = [profile[at : at + 50] for profile in scaled for at in range(0, len(profile) - 49, 50)]
    return [{"series": piece.tolist()} for piece in pieces][:count]


def split(rows: Rows, held_out: int) -> DatasetDict:
    """The last rows are held out, after the order has been shuffled."""
    rows = random.Random(7).sample(rows, len(rows))
    parts = {"train": rows[: -2 * held_out], "validation": rows[-2 * held_out : -held_out], "test": rows[-held_out:]}
    return DatasetDict({name: Dataset.from_list(part) for name, part in parts.items()})


def _numbers(data: Any, names: Any, target: str, truth: list[Any]) -> Rows:
    columns = [str(name).replace(" ", "_") for name in names]
    rows = [dict(zip(columns, map(float, row), strict=True)) for row in data]
    return [{**row, target: one} for row, one in zip(rows, truth, strict=True)]
