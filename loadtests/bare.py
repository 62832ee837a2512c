"""ONNX Runtime over the sentences, and nothing around it: what a server is measured against.

`python -m loadtests.bare MODEL BATCH THREADS FIRST PROCESSES`: the sentences are tokenised, sorted by length and padded
batch by batch first; then it prints `ready`, waits for a line and runs the batches, or every PROCESSES-th of them from
the FIRST on. Prints a JSON object of when that began and ended, on a clock that all processes share, and of how long
the tokenisation took.
"""

import contextlib
import json
import subprocess
import sys
import time
from typing import TypedDict

from loadtests.models import minilm_folder
from loadtests.payloads import Workload
from loadtests.peers.served.onnx_models import MiniLM, TextGraph, open_session
from loadtests.platform import sentiment_artifact
from loadtests.processes import ROOT
from loadtests.sentences import COUNT, sentences
from storage.manifest import Manifest


class Bare(TypedDict):
    began: float
    ended: float
    tokenise_s: float


def side_by_side(model: Workload, batch: int, processes: int, threads: int) -> tuple[float, float]:
    """Sentences per second of processes that share them out and begin at the same moment; seconds to tokenise all."""
    with contextlib.ExitStack() as stack:
        running = []
        for first in range(processes):
            arguments = [model, *(str(value) for value in (batch, threads, first, processes))]
            command = [sys.executable, "-m", "loadtests.bare", *arguments]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            running.append(stack.enter_context(process))
        for one in running:
            assert one.stdout is not None
            if one.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{one.args!r} did not become ready")
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        runs: list[Bare] = [json.loads(one.communicate()[0]) for one in running]
    took = max(run["ended"] for run in runs) - min(run["began"] for run in runs)
    return COUNT / took, runs[0]["tokenise_s"]


def run(name: Workload, batch: int, threads: int, first: int, processes: int) -> Bare:
    """Every `processes`-th batch of the sentences from the `first` on."""
    model = _model(name, threads)
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


def _model(name: Workload, threads: int) -> TextGraph:
    if name == "minilm":
        return MiniLM(minilm_folder(), threads)
    folder = sentiment_artifact()
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert manifest.text is not None
    session = open_session(folder / manifest.model, threads, manifest.engine.graph_optimization)
    return TextGraph(session, folder / manifest.text.tokenizer, "logits", manifest.text.max_length)


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(run(name, *map(int, numbers))))  # type: ignore[arg-type]
