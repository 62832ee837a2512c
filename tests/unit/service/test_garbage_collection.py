"""In a process of its own, as it changes what holds for all of it."""

import subprocess
import sys

SCRIPT = """
import gc
from service.server import tame_garbage_collection

class Node:
    pass

tame_garbage_collection()
full, frozen = gc.get_stats()[2]["collections"], gc.get_freeze_count()
in_flight = [[] for _ in range(300_000)]
print(gc.get_stats()[2]["collections"] - full, frozen > 1000)

for _ in range(50_000):
    one, other = Node(), Node()
    one.other, other.one = other, one
print(sum(isinstance(each, Node) for each in gc.get_objects()) < 10_000)
"""


def test_many_live_objects_stop_nobody_for_a_full_collection_and_young_garbage_goes() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True", "True"]
