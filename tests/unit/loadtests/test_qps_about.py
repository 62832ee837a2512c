"""What the result says of the workloads."""

from typing import Any

from loadtests.qps.about import Classifier, classifier_of, workloads
from loadtests.qps.workloads import WORKLOADS
from loadtests.scenarios.traffic import EXPONENT, MIX
from loadtests.sentences import Corpus
from tests.unit.model_service.graphs import manifest
from training.demo import reviews

CORPUS = Corpus(what="reviews", package="p", version="1", sources=["a.txt"], count=3)


def test_every_workload_says_what_is_asked_how_often_and_of_whom() -> None:
    classifier = Classifier(description="d", metrics={"accuracy": 0.8}, trained_on="those")
    found = workloads(500.0, CORPUS, classifier)
    assert [one["name"] for one in found] == [*(workload.name for workload in WORKLOADS), "the limit"]
    assert [one["rate"] for one in found] == [500, 500, None]
    assert [one["exponent"] for one in found] == [None, EXPONENT, None]
    assert [one["mix"] for one in found] == [{"sentiment": 1.0}, MIX, {}]
    assert all(one["corpus"] == CORPUS and one["classifier"] == classifier for one in found)


def test_a_classifier_that_was_trained_on_what_it_is_asked_says_so() -> None:
    def trained_on(**fields: Any) -> str:
        return classifier_of(manifest(**fields))["trained_on"]

    same = trained_on(provenance={"data": f"{reviews.PACKAGE}: 85% of it"})
    assert same.startswith(f"{reviews.PACKAGE}: 85% of it. ")
    assert "most of it what the model was trained on" in same
    assert trained_on(provenance={"data": "other reviews"}) == "other reviews"
    assert trained_on() == "unknown data"
