"""The exported, quantised model is 2.3 x faster than the eager one: by turns in one process, on the same inputs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import torch
from datasets import load_from_disk

from loadtests.claims.arithmetic import CONFIDENCE, ratio, verdict
from loadtests.claims.stages import Say, movies
from training import pipeline
from training.evaluate.intervals import differences
from training.evaluate.run import measure_on
from training.export.parity import record
from training.export.run import ARTIFACT
from training.export.session import session, trim
from training.export.variants import FILES
from training.stage import ROWS
from training.tasks.base import Arrays, Model, Run, Task
from training.tasks.open import open_task

CLAIM: Final = 2.3
SEED: Final = 1
RATE: Final = 1e-4
STEPS: Final = 100  # how fast it is does not hang on how much it has learnt
VARIANTS: Final = ("fp32", "int8")
EAGER: Final = "eager"
THREADS: Final = (1, 2)
BATCHES: Final = 4  # of as many rows as a task's batches have
ALONE: Final = 48  # rows one by one
ROUNDS, WARM_UP = 9, 4
RESAMPLES: Final = 1000


def measure(work: Path, say: Say) -> dict[str, Any]:
    """How many times as fast each variant is, by threads and rows; and what accuracy it loses."""
    found = pipeline.run(movies(SEED, RATE, max_steps=STEPS), work, say, "export")
    task = open_task("text-classification")
    model = task.load(found.folders["train"] / "model")
    rows = load_from_disk(str(found.folders["data"] / ROWS))["test"]
    batches: list[Arrays] = []
    task.predict(record(task.eager(model), batches), model, rows)
    middle = len(batches) // 2  # those of middling length
    asked = {"batch": batches[middle - BATCHES // 2 :][:BATCHES], "single": _single(batches, ALONE)}
    load = [os.getloadavg()[0]]
    timed = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        runs = {EAGER: task.eager(model), **_sessions(found.folders["export"], threads)}
        for name, inputs in asked.items():
            timed.append({"rows": name, "threads": threads, **_compared(_rounds(runs, inputs))})
            say(f"{name}, {threads} threads: {timed[-1]['times']}")
    load.append(os.getloadavg()[0])
    return {
        "settings": {
            "batch": len(next(iter(asked["batch"][0].values()))),
            "tokens": {name: [one["input_ids"].shape[1] for one in inputs] for name, inputs in asked.items()},
            "rounds": ROUNDS,
            "attention": model.config._attn_implementation,
        },
        "load_average": load,
        "timed": timed,
        "bytes": {name: found.outcomes["export"]["variants"][name]["bytes"] for name in VARIANTS},
        "lost": _lost(task, model, found.folders["export"], rows),
    }


def _single(batches: Sequence[Arrays], count: int) -> list[Arrays]:
    """Rows of all lengths, each without padding."""
    every = [trim(batch, row) for batch in batches for row in range(len(batch["input_ids"]))]
    return every[:: max(1, len(every) // count)][:count]


def _sessions(exported: Path, threads: int) -> dict[str, Run]:
    """Each variant as a worker opens it."""
    return {name: session(exported / ARTIFACT / FILES[name], threads) for name in VARIANTS}


def _rounds(runs: Mapping[str, Run], inputs: Sequence[Arrays]) -> dict[str, list[float]]:
    """The median seconds of a call in each round, in which each of the runs has its turn, another one first."""
    names = list(runs)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for one in inputs[:WARM_UP]:
                runs[name](one)
            found[name].append(median(_seconds(runs[name], one) for one in inputs))
    return found


def _seconds(run: Run, inputs: Arrays) -> float:
    begin = perf_counter()
    run(inputs)
    return perf_counter() - begin


def _compared(rounds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    faster = {name: ratio(rounds[EAGER], rounds[name]) for name in VARIANTS}
    return {
        "times": {name: median(seconds) for name, seconds in rounds.items()},
        "faster": {name: interval.as_json() for name, interval in faster.items()},
        "verdict": {name: verdict(interval, CLAIM) for name, interval in faster.items()},
        "rounds": rounds,
    }


def _lost(task: Task, model: Model, exported: Path, rows: Any) -> dict[str, Any]:
    """The eager model's metrics, and by how much each variant's are above them on the same rows."""
    answers = {
        name: task.predict(run, model, rows)
        for name, run in {EAGER: task.eager(model), **_sessions(exported, max(THREADS))}.items()
    }
    by = {name: measure_on(task, found, rows) for name, found in answers.items()}
    return {
        "rows": len(rows),
        EAGER: by[EAGER](range(len(rows))),
        **{
            name: {
                metric: found.as_json()
                for metric, found in differences(by[name], by[EAGER], len(rows), RESAMPLES, CONFIDENCE, SEED).items()
            }
            for name in VARIANTS
        },
    }
