"""docs/scaling.md says what the simulation found, of the manifests and the measurements that are here."""

import json
from dataclasses import asdict, replace
from math import pi, sin

from loadtests.scaling.bottleneck import parts
from loadtests.scaling.manifests import activation_as_written, as_written, of_resources
from loadtests.scaling.measured import measured, result_of
from loadtests.scaling.page import PAGE, markdown
from loadtests.scaling.runs import PEAKS, days, steps, without_limit
from tests.unit.deploy.manifests import find, rendered

AGAIN = "it is out of date: run python -m loadtests.scaling"


def test_what_is_simulated_is_what_a_cluster_is_given() -> None:
    resources = rendered("overlays/production")
    assert of_resources(resources) == as_written()
    scaled = find(resources, "ScaledObject", "worker")["spec"]
    worker = as_written().worker
    assert (worker.minimum, worker.maximum) == (scaled["minReplicaCount"], scaled["maxReplicaCount"])
    assert worker.threshold == float(scaled["triggers"][0]["metadata"]["threshold"])


def test_the_page_is_what_was_found() -> None:
    assert PAGE.read_text() == markdown(result_of("scaling")), AGAIN


def test_the_page_is_of_the_manifests_and_measurements_that_are_here() -> None:
    found, manifests, known = result_of("scaling"), as_written(), measured()
    now = {
        "manifests": asdict(manifests),
        "activation": asdict(activation_as_written()),
        "measured": asdict(known),
        "steps": steps(known.services["minilm"], manifests),
        "parts": [asdict(part) for part in parts(list(PEAKS), known, manifests)],
    }
    found["rounds"] |= json.loads(json.dumps(now))
    assert PAGE.read_text() == markdown(found), AGAIN


def test_days_are_shown_without_the_limit_and_with_it_where_it_binds() -> None:
    minutes = [2 + sin(2 * pi * minute / 240) for minute in range(240)]
    known = measured()
    only = replace(known, services={"minilm": known.services["minilm"]})
    runs, hours = days(minutes, only, as_written())
    assert [(run["peak"], run["limited"]) for run in runs] == [
        (1_000, False),
        (10_000, False),
        (100_000, False),
        (100_000, True),
        (1_000_000, False),
        (1_000_000, True),
    ]
    assert all(run["workers"][2] <= as_written().worker.maximum for run in runs if run["limited"])
    assert all(run["core_hours"] <= run["core_hours_at_most"] for run in runs)
    assert len(hours) == 4
    assert without_limit(as_written()).worker.maximum > 1_000_000


def test_the_part_that_is_full_first_comes_first_and_is_full_there() -> None:
    manifests, known = as_written(), measured()
    listed = parts(list(PEAKS), known, manifests)
    assert [part.full_at for part in listed] == sorted(part.full_at for part in listed)
    (envoy,) = (part for part in listed if part.name.startswith("Envoy"))
    assert envoy.full_at == known.envoy_rate * manifests.envoys * manifests.envoy_cores
    for part in parts([round(part.full_at) for part in listed], known, manifests):
        assert part.uses[round(part.full_at)] / part.shipped > 0.99
        assert part.uses[round(part.full_at)] / part.shipped < 1.01
