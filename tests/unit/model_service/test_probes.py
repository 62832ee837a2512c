"""Rows that are made up to try a model with."""

from itertools import islice

from model_service.probes import probes
from storage.manifest import Manifest
from tests.unit.model_service.graphs import manifest

MOST_BYTES = 64 << 20  # of what is made up for one row


def of_rank(rank: int, *datatypes: str) -> Manifest:
    inputs = [{"name": kind, "datatype": kind, "shape": [-1] * rank} for kind in datatypes]
    return manifest(inputs=inputs)


def test_however_many_dimensions_are_open_rows_stay_small() -> None:
    for rank in (3, 5, 8):
        for probe in islice(probes(of_rank(rank, "FP64", "BYTES")), 12):
            assert sum(len(tensor.data) for tensor in probe.rows[0].inputs) < MOST_BYTES


def test_of_many_dimensions_small_sizes_are_tried_still() -> None:
    assert next(iter(probes(of_rank(8, "FP32", "BYTES")))).rows[0].inputs[0].shape == (1, *[4] * 7)
