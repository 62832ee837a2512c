"""What is seen of processes while a load runs."""

import os
import time

from loadtests.qps.sampling import Sampler


def test_a_process_that_is_added_later_is_measured_from_then_on() -> None:
    began = time.time()
    with Sampler({}).running() as sampler:
        sampler.watch("this one", os.getpid())
        while not sampler.usage(began, 60):
            assert time.time() < began + 30
            time.sleep(0.1)
    usage = sampler.usage(began, 60)["this one"]
    assert usage["memory_mb"] > max(usage["memory_mb_per_second"]) - 1 > 10
    assert len(usage["cpu_per_second"]) == len(usage["memory_mb_per_second"])
