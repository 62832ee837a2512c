"""`python -m loadtests.bare BATCH THREADS [FIRST PROCESSES]`: ONNX Runtime over the sentences, and nothing around it.

The sentences are tokenised, sorted by length and padded batch by batch first; then it prints `ready`, waits for a line
and runs the batches, or every PROCESSES-th of them from the FIRST on. Prints a JSON object of when that began and
ended, on a clock that all processes share, and of how long the tokenisation took.
"""

import json
import sys
import time
from typing import TypedDict

from loadtests.models import minilm_folder
from loadtests.peers.served.onnx_models import MiniLM
from loadtests.sentences import sentences


class Bare(TypedDict):
    began: float
    ended: float
    tokenise_s: float


def run(batch: int, threads: int, first: int = 0, processes: int = 1) -> Bare:
    """All sentences, or every `processes`-th batch of them from the `first` on."""
    model = MiniLM(minilm_folder(), threads)
    began = time.perf_counter()
    tokens = sorted(model.tokenize(sentences()), key=len)
    tokenise_s = time.perf_counter() - began
    batches = [tokens[start : start + batch] for start in range(0, len(tokens), batch)][first::processes]
    inputs = [model.inputs(rows) for rows in batches]
    for feeds in inputs[:: max(1, len(inputs) // 8)]:  # warm-up, over all lengths
        model.run(feeds)
    # Whoever started several of us lets all of them begin at once.
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    for feeds in inputs:
        model.run(feeds)
    return Bare(began=began, ended=time.monotonic(), tokenise_s=tokenise_s)


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:]))))
