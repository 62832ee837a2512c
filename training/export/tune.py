"""Looks for the variant and the settings that answer fastest on this machine, through the engine of a worker."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from storage.importers.settings import merge
from storage.manifest import Manifest
from training.export.layout import files_of
from training.export.manifest import MANIFEST, write_manifest
from training.recipe.export import Variant
from training.recipe.tune import Tune

LIMIT_S: Final = 120.0  # for loading the model, beside the measurement itself


class TuneFailed(Exception):
    """No variant could be measured."""


@dataclass(frozen=True)
class Trial:
    """What was tried, and how it did: rows a second, latencies in milliseconds, memory in MB."""

    variant: Variant
    threads: int
    instances: int
    max_rows: int
    rows_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    memory_mb: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Best:
    """The variant to serve, how, and all that was tried; nothing was where the recipe does not ask for it."""

    variant: Variant
    trial: Trial | None = None
    tried: tuple[Trial, ...] = ()

    def settings(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What goes into the manifest over what the variant says of itself."""
        return {} if self.trial is None else _settings(self.trial, chosen)

    def as_json(self) -> dict[str, Any] | None:
        if self.trial is None:
            return None
        return {"best": asdict(self.trial), "tried": [asdict(trial) for trial in self.tried]}


def search(
    folder: Path,
    fields: Mapping[str, Any],
    served: Mapping[Variant, Mapping[str, Any]],
    asked: Sequence[Sequence[Mapping[str, Any]]],
    block: Tune,
    say: Callable[[str], None],
) -> Best:
    """Measure every combination for each variant whose files are in `folder`, each of `asked` being a request's inputs.

    Raises TuneFailed where none could be measured.
    """
    tried = []
    with tempfile.TemporaryDirectory(prefix="headrace-tune-") as place:
        requests = Path(place) / "requests.json"
        requests.write_text(json.dumps([{"inputs": given} for given in asked]))
        for planned in _plan(served, block):
            chosen = served[planned.variant]
            manifest = write_manifest(folder, files_of(folder), {**fields, **merge(chosen, _settings(planned, chosen))})
            trial = _measure(manifest, folder, requests, planned, block)
            say(f"tune: {_line(trial)}")
            tried.append(trial)
    (folder / MANIFEST).unlink()
    return Best(best.variant, best, tuple(tried)) if (best := choose(tried, block)) else _none(tried)


def choose(tried: Sequence[Trial], block: Tune) -> Trial | None:
    """The best of them for the block's objective; None where nothing was measured."""
    measured = [trial for trial in tried if not trial.error]
    quick = [trial for trial in measured if block.p99_ms is None or trial.p99_ms <= block.p99_ms]
    if not quick:  # the nearest to what was asked
        return min(measured, key=lambda trial: trial.p99_ms, default=None)
    if block.objective == "latency":
        return min(quick, key=lambda trial: trial.p99_ms)
    return max(quick, key=lambda trial: trial.rows_per_s)


def _plan(served: Mapping[Variant, Mapping[str, Any]], block: Tune) -> Iterator[Trial]:
    threads = block.threads or tuple(sorted({1, os.cpu_count() or 1}))
    for variant, chosen in served.items():
        alone = chosen["batching"].get("max_rows") == 1  # the graph has no dimension of rows
        for combination in itertools.product(threads, block.instances, (1,) if alone else block.max_rows):
            if combination[1] <= combination[0]:  # instances share the threads
                yield Trial(variant, *combination)


def _settings(trial: Trial, chosen: Mapping[str, Any]) -> dict[str, Any]:
    # `threads` of the manifest are those of one instance.
    engine = {"threads": max(1, trial.threads // trial.instances), "instances": trial.instances}
    return {"engine": engine, "batching": {**chosen["batching"], "max_rows": trial.max_rows}}


def _measure(manifest: Manifest, folder: Path, requests: Path, trial: Trial, block: Tune) -> Trial:
    command = [sys.executable, "-m", "model_service.measure", str(folder), str(requests)]
    command += ["--seconds", str(block.seconds), "--in-flight", str(block.in_flight)]
    try:
        ran = subprocess.run(
            command,
            input=manifest.model_dump_json(),
            capture_output=True,
            text=True,
            timeout=LIMIT_S + 3 * block.seconds,
            check=True,
        )
        return Trial(**{**asdict(trial), **json.loads(ran.stdout.splitlines()[-1])})
    except subprocess.TimeoutExpired:
        return Trial(**{**asdict(trial), "error": f"took longer than {LIMIT_S:g} s"})
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        return Trial(**{**asdict(trial), "error": lines[-1] if lines else f"ended with status {error.returncode}"})


def _line(trial: Trial) -> str:
    what = f"{trial.variant}, {trial.threads} threads, {trial.instances} instances, batches of {trial.max_rows}"
    return f"{what}: {trial.error or f'{trial.rows_per_s:.0f} rows/s, p99 {trial.p99_ms:.1f} ms'}"


def _none(tried: Sequence[Trial]) -> Best:
    raise TuneFailed("nothing could be measured:\n" + "\n".join(_line(trial) for trial in tried))
