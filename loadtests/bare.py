"""ONNX Runtime over the sentences, and nothing around it: what a server is measured against.

`python -m loadtests.bare JOB`, a Job as JSON: the sentences are tokenised, sorted by length and padded batch by batch
first; then it prints `ready`, waits for a line and runs its share of the batches, over and over, until the time is up.
Prints a JSON object of the rate and of what the tokenisation took.
"""

import contextlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from typing import Literal, TypedDict

from loadtests.models import minilm_folder
from loadtests.payloads import Workload
from loadtests.peers.served.onnx_models import MiniLM, TextGraph, open_session
from loadtests.platform import sentiment_artifact
from loadtests.processes import ROOT
from loadtests.sentences import corpus, sentences
from storage.manifest import Manifest

BATCHES = (4, 8, 16, 32)
ROUNDS, SECONDS = 3, 3.0
SEED = 7
Texts = Literal["corpus", "sample"]  # all sentences, or 2,000 of them


class Job(TypedDict):
    """Every `processes`-th batch of `batch` sentences from the `first` on, for `seconds` or a little more."""

    model: Workload
    texts: Texts
    batch: int
    threads: int
    first: int
    processes: int
    seconds: float


class Done(TypedDict):
    """Sentences per second, and microseconds of a core that the tokenisation of one took before."""

    rate: float
    tokenise_us: float


class Bare(TypedDict):
    """Of a process a core, over the corpus. `rate` is the best batch size's, by the median of its rounds."""

    about: str
    rate: float
    batch: int
    rates: dict[str, list[float]]  # of every round, by batch size
    tokenise_us: float  # of a core, for a sentence: not in the rates


def measure(model: Workload) -> Bare:
    """The batch sizes by turns, over all cores."""
    cores = len(os.sched_getaffinity(0))
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    tokenise_us = []
    for _ in range(ROUNDS):
        for batch, of_batch in rates.items():
            done = side_by_side(model, "corpus", batch, cores, 1, SECONDS)
            of_batch.append(done["rate"])
            tokenise_us.append(done["tokenise_us"])
    best = max(rates, key=lambda batch: statistics.median(rates[batch]))
    return Bare(
        about="ONNX Runtime's session.run alone, over the same sentences, tokenised, sorted by length and padded"
        f" before; a process with one thread for each of {cores} cores, the median of {ROUNDS} rounds of {SECONDS:g} s"
        " for each batch size. The platform's figure contains tokenisation, HTTP, JSON, routing and batching, and"
        " the load generator on the same cores",
        rate=statistics.median(rates[best]),
        batch=best,
        rates={str(batch): of_batch for batch, of_batch in rates.items()},
        tokenise_us=statistics.median(tokenise_us),
    )


def side_by_side(
    model: Workload, texts: Texts, batch: int, processes: int, threads: int, seconds: float = SECONDS
) -> Done:
    """Processes that share the sentences out and begin at the same moment."""
    with contextlib.ExitStack() as stack:
        running = []
        for first in range(processes):
            job = Job(
                model=model,
                texts=texts,
                batch=batch,
                threads=threads,
                first=first,
                processes=processes,
                seconds=seconds,
            )
            command = [sys.executable, "-m", "loadtests.bare", json.dumps(job)]
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
        done: list[Done] = [json.loads(one.communicate()[0]) for one in running]
    return Done(
        rate=sum(one["rate"] for one in done), tokenise_us=statistics.median(one["tokenise_us"] for one in done)
    )


def run(job: Job) -> Done:
    """What one process does."""
    model = _model(job["model"], job["threads"])
    texts = corpus() if job["texts"] == "corpus" else sentences()
    began = time.process_time()  # of all threads: the tokenizer takes as many as there are cores
    tokens = sorted(model.tokenize(texts), key=len)
    tokenise_us = (time.process_time() - began) * 1e6 / len(texts)
    batches = [tokens[start : start + job["batch"]] for start in range(0, len(tokens), job["batch"])]
    random.Random(SEED).shuffle(batches)  # so that whatever part of them there is time for is of all lengths
    inputs = [(len(rows), model.inputs(rows)) for rows in batches[job["first"] :: job["processes"]]]
    for _, feeds in inputs[:: max(1, len(inputs) // 8)]:  # warm-up
        model.run(feeds)
    # Whoever started several of us lets all of them begin at once.
    print("ready", flush=True)
    sys.stdin.readline()
    began, took, count = time.monotonic(), 0.0, 0
    for rows, feeds in itertools.cycle(inputs):
        model.run(feeds)
        count += rows
        if (took := time.monotonic() - began) >= job["seconds"]:
            break
    return Done(rate=count / took, tokenise_us=tokenise_us)


def _model(name: Workload, threads: int) -> TextGraph:
    if name == "minilm":
        return MiniLM(minilm_folder(), threads)
    folder = sentiment_artifact()
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert manifest.text is not None
    session = open_session(folder / manifest.model, threads, manifest.engine.graph_optimization)
    return TextGraph(session, folder / manifest.text.tokenizer, "logits", manifest.text.max_length)


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))
