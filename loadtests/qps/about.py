"""What was asked of which model, in words and numbers: it stands in the result, and the page is made of that."""

from collections.abc import Mapping
from typing import TypedDict

from loadtests.payloads import Workload as Model
from loadtests.qps.workloads import BAR_MEAN_MS, WORKLOADS
from loadtests.scenarios.traffic import EXPONENT, MIX
from loadtests.sentences import Corpus
from storage.manifest import Manifest
from training.demo import reviews

LIMIT = "the limit"


class Classifier(TypedDict):
    """The small model that most requests go to, by its manifest."""

    description: str
    metrics: Mapping[str, float]
    trained_on: str


class About(TypedDict):
    """One workload. None where it has none of it: the limit has no rate, as that is what it looks for."""

    name: str
    about: str
    rate: float | None  # per second
    exponent: float | None  # of Zipf's law
    mix: Mapping[str, float]  # each model's share of the requests
    cache_ttl_s: Mapping[Model, int]
    corpus: Corpus
    classifier: Classifier


def workloads(rate: float, corpus: Corpus, classifier: Classifier) -> list[About]:
    """Those at a fixed rate, and the limit."""
    fixed = [
        About(
            name=workload.name,
            about=workload.about,
            rate=rate,
            exponent=EXPONENT if workload.scenario == "mixed" else None,
            mix=MIX if workload.scenario == "mixed" else dict.fromkeys(workload.cache_ttl_s, 1.0),
            cache_ttl_s=workload.cache_ttl_s,
            corpus=corpus,
            classifier=classifier,
        )
        for workload in WORKLOADS
    ]
    limit = About(
        name=LIMIT,
        about=f"the highest rate that holds a mean of {BAR_MEAN_MS:g} ms, of one model at a time, each sentence once"
        " before any comes again; the cache is switched off. A lean generator sends, so that most of the cores is the"
        " platform's; how late it was is part of every latency",
        rate=None,
        exponent=None,
        mix={},
        cache_ttl_s={"sentiment": 0, "minilm": 0},
        corpus=corpus,
        classifier=classifier,
    )
    return [*fixed, limit]


def classifier_of(manifest: Manifest) -> Classifier:
    """What is said of the artifact that is served."""
    trained_on = str(manifest.provenance.get("data", "unknown data"))
    if reviews.PACKAGE in trained_on:
        # It does no harm where speed is measured, but the accuracy is not that on what is asked here.
        trained_on += ". What is asked is of the same data set, most of it what the model was trained on"
    return Classifier(description=manifest.description, metrics=manifest.metrics, trained_on=trained_on)
