"""Trial load: a version is first loaded in a process of its own, where a graph that crashes the runtime harms nobody.

`python -m model_service.trial FOLDER` reads a manifest from stdin, loads the artifact in FOLDER, compares rows alone
with rows together, warms it up, checks its golden cases, and prints one line of JSON: `{"error": null, "alone": null}`,
or what went wrong and whose fault it is, or why requests of a version that passed must run alone.
"""

import argparse
import asyncio
import hashlib
import os
import platform
import resource
import signal
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

import orjson

from model_service.engines.base import OutOfMemory, ProviderMissing
from model_service.engines.failures import describe
from model_service.signals import CRASHES, signal_name
from storage.manifest import Manifest
from wire.engines import engine_named

if TYPE_CHECKING:
    from model_service.loaded_model import LoadedModel

# What the process says before it asks of a graph what nobody has asked of it.
COMPARING: Final = b"comparing rows"
# The last words of C++ and of Rust when they abort for want of memory.
NO_MEMORY: Final = (b"std::bad_alloc", b"memory allocation of ")


class TrialFailed(Exception):
    """The version did not pass its trial load."""


class MachineUnfit(Exception):
    """This machine cannot load the version; another one may."""


class MachineLacks(MachineUnfit):
    """This machine has not got what the version asks for, a device or a library, which do not come by themselves."""


class TrialTimedOut(Exception):
    """The trial load took too long: the version hangs, or this machine is slow or busy."""


def machine_at_fault(error: BaseException) -> bool:
    """Whether the version could not be loaded for what this machine lacks: memory, a device, a library, its disk."""
    return _is_caused_by(error, MachineUnfit, ProviderMissing, OutOfMemory, MemoryError, ImportError, OSError)


def machine_lacks(error: BaseException) -> bool:
    """Whether that is something which does not come by itself, as memory may."""
    return _is_caused_by(error, MachineLacks, ProviderMissing, ImportError)


def _is_caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kinds):
            return True
        cause = cause.__cause__
    return False


class _LostInRows(Exception):
    """The process ended while it compared rows: what was made up for that is no fault of the version's."""


async def run_trial(manifest: Manifest, folder: Path, *, threads: int, timeout_s: float) -> str | None:
    """Load the artifact in `folder` in a process of its own. Why a version that passes must not have its requests share
    batches is returned; None where nothing speaks against it.

    Raises TrialFailed, MachineUnfit where the fault is not the version's, TrialTimedOut where that is open.
    """
    try:
        return await _run(manifest, folder, threads, timeout_s)
    except _LostInRows:
        return await _run(manifest, folder, threads, timeout_s, "--no-rows")


async def _run(manifest: Manifest, folder: Path, threads: int, timeout_s: float, *more: str) -> str | None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "model_service.trial", str(folder)),
        *("--threads", str(threads), "--timeout", str(timeout_s), *more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(manifest.model_dump_json().encode())
    except TimeoutError:
        raise TrialTimedOut(f"the trial load took longer than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return _judge(process.returncode, out, err)


@cache
def runtime(engine: str) -> str:
    """The runtime that a trial of this engine's speaks for, such as `onnxruntime 1.32.0`."""
    for package in engine_named(engine).packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "no runtime"


@cache
def processor() -> str:
    """The kind of processor that a trial speaks for: its model and a hash of what it can do."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    except OSError:
        pass  # not Linux
    model = fields.get("model name") or platform.processor() or platform.machine()
    features = fields.get("flags") or fields.get("Features") or ""
    return f"{model[:100]} {hashlib.sha256(features.encode()).hexdigest()[:12]}"


def _judge(code: int, out: bytes, err: bytes) -> str | None:
    lines, complaints = out.splitlines(), err.decode(errors="replace").strip().splitlines()
    if code != 0 and lines and lines[-1] == COMPARING:
        raise _LostInRows
    if code < 0:
        _judge_signal(signal_name(code), err)
    try:
        verdict: dict[str, Any] = orjson.loads(lines[-1])  # a runtime may have printed lines of its own before
        told = verdict["error"] and verdict["message"]
        alone: str | None = verdict.get("alone")
    except (IndexError, KeyError, TypeError, orjson.JSONDecodeError):
        # What a version does wrong is in the verdict: this process did not get so far.
        last = complaints[-1] if complaints else "it said nothing"
        raise MachineUnfit(f"the trial load ended with status {code}: {last}") from None
    if told is None:
        return alone
    if verdict["lacking"]:
        raise MachineLacks(told)
    raise MachineUnfit(told) if verdict["machine"] else TrialFailed(told)


def _judge_signal(name: str, err: bytes) -> NoReturn:
    if any(sign in err for sign in NO_MEMORY):
        raise MachineUnfit(f"the trial load was killed by {name}: out of memory")
    if name in CRASHES:
        # An integer divided by zero is all that raises it.
        hint = ", by dividing an integer by zero. If that is its warm-up's, give it golden cases, which are run in its"
        hint += " place: headrace models add --golden FILE"
        told = hint if name == "SIGFPE" else ""
        raise TrialFailed(f"the trial load was killed by {name}: the graph crashes the runtime{told}")
    hint = "out of memory, most likely" if name == "SIGKILL" else "it was told to stop"
    raise MachineUnfit(f"the trial load was killed by {name}: {hint}")


async def _load(manifest: Manifest, folder: Path, threads: int, timeout_s: float, rows: bool) -> dict[str, Any]:
    from model_service.opening import open_here
    from model_service.warmup import warm_up

    started = monotonic()
    alone = None
    try:
        model = open_here(manifest.name, 1, manifest, folder, threads=threads)
        if rows and manifest.batching.max_rows > 1:
            alone = await _compare(model, folder, (timeout_s - (monotonic() - started)) / 2)
        if alone is not None:
            await model.close()
            model = open_here(manifest.name, 1, manifest.alone(alone), folder, threads=threads)
        await warm_up(model, folder)
    except Exception as error:  # whatever a graph and a runtime come up with is the reason that people will read
        return {**describe(error, folder), "machine": machine_at_fault(error), "lacking": machine_lacks(error)}
    return {"error": None, "alone": alone}


async def _compare(model: "LoadedModel", folder: Path, seconds: float) -> str | None:
    """Why rows must run alone. Nothing that goes wrong here, and no time that it takes, fails the version."""
    _say(COMPARING)
    alone = None
    with suppress(Exception):
        async with asyncio.timeout(seconds):
            alone = await asyncio.to_thread(model.rows_depend, folder, monotonic() + seconds)
    _say(b"compared")
    return alone


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_service.trial", description=__doc__)
    parser.add_argument("folder", type=Path, help="the artifact's files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds")
    parser.add_argument("--no-rows", action="store_true", help="compare no rows")
    options = parser.parse_args()
    # A worker that is killed takes no child with it: this one ends by itself.
    signal.alarm(ceil(options.timeout) + 5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    manifest = Manifest.model_validate_json(sys.stdin.buffer.read())
    verdict = asyncio.run(_load(manifest, options.folder, options.threads, options.timeout, not options.no_rows))
    _say(orjson.dumps(verdict))
    os._exit(0)  # whatever the engine may still be at


if __name__ == "__main__":
    main()
