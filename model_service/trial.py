"""Trial load: a version is first loaded in a process of its own, where a graph that crashes the runtime harms nobody.

`python -m model_service.trial FOLDER` reads a manifest from stdin, loads the artifact in FOLDER, warms it up, checks
its golden cases, and prints one line of JSON: `{"error": null, "warning": null}`, or what went wrong and whose fault it
is, or what is odd about a version that passed.
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
from typing import Any, Final, NoReturn

import orjson

from model_service.engines.base import OutOfMemory, ProviderMissing
from storage.manifest import Manifest

# What a process does to itself. Any other signal came from outside (the kernel, short of memory; a Ctrl-C, which the
# whole process group gets) and says nothing about the version.
CRASHES: Final = ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
# The last words of C++ and of Rust when they abort for want of memory.
NO_MEMORY: Final = (b"std::bad_alloc", b"memory allocation of ")


class TrialFailed(Exception):
    """The version did not pass its trial load."""


class MachineUnfit(Exception):
    """This machine cannot load the version; another one may."""


class TrialTimedOut(Exception):
    """The trial load took too long: the version hangs, or this machine is slow or busy."""


def machine_at_fault(error: BaseException) -> bool:
    """Whether the version could not be loaded for what this machine lacks: memory, a device, a library, its disk."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MachineUnfit | ProviderMissing | OutOfMemory | MemoryError | ImportError | OSError):
            return True
        cause = cause.__cause__
    return False


async def run_trial(manifest: Manifest, folder: Path, *, threads: int, timeout_s: float) -> str | None:
    """Load the artifact in `folder` in a process of its own. What is odd about a version that passes is returned.

    Raises TrialFailed, MachineUnfit where the fault is not the version's, TrialTimedOut where that is open.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "model_service.trial", str(folder)),
        *("--threads", str(threads), "--timeout", str(timeout_s)),
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
def runtime() -> str:
    """The runtime that a trial speaks for, such as `onnxruntime 1.32.0`."""
    for package in ("onnxruntime", "onnxruntime-gpu"):
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
    if code < 0:
        _judge_signal(-code, err)
    lines, complaints = out.splitlines(), err.decode(errors="replace").strip().splitlines()
    try:
        verdict: dict[str, Any] = orjson.loads(lines[-1])  # a runtime may have printed lines of its own before
        error, machine = verdict["error"], verdict.get("machine", False)
        warning: str | None = verdict.get("warning")
    except (IndexError, KeyError, TypeError, orjson.JSONDecodeError):
        # What a version does wrong is in the verdict: this process did not get so far.
        last = complaints[-1] if complaints else "it said nothing"
        raise MachineUnfit(f"the trial load ended with status {code}: {last}") from None
    if error is not None:
        raise MachineUnfit(error) if machine else TrialFailed(error)
    return warning


def _judge_signal(number: int, err: bytes) -> NoReturn:
    name = str(number)
    with suppress(ValueError):  # a real-time signal has no name
        name = signal.Signals(number).name
    if any(sign in err for sign in NO_MEMORY):
        raise MachineUnfit(f"the trial load was killed by {name}: out of memory")
    if name in CRASHES:
        raise TrialFailed(f"the trial load was killed by {name}: the graph crashes the runtime")
    hint = "out of memory, most likely" if name == "SIGKILL" else "it was told to stop"
    raise MachineUnfit(f"the trial load was killed by {name}: {hint}")


async def _load(manifest: Manifest, folder: Path, threads: int, timeout_s: float) -> dict[str, Any]:
    from model_service.invariance import dependence
    from model_service.models import LoadedModel
    from model_service.warmup import warm_up

    started = monotonic()
    try:
        model = LoadedModel.open(manifest.name, 1, manifest, folder, threads=threads)
        await warm_up(model, folder)
    except Exception as error:  # whatever a graph and a runtime come up with is the reason that people will read
        return {"error": str(error) or repr(error), "machine": machine_at_fault(error)}
    warning = None
    # Only worth a warning, so nothing that goes wrong here, and no time that it takes, fails the version.
    with suppress(Exception):
        async with asyncio.timeout((timeout_s - (monotonic() - started)) / 2):
            warning = await dependence(model, folder)
    return {"error": None, "warning": warning}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_service.trial", description=__doc__)
    parser.add_argument("folder", type=Path, help="the artifact's files")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds")
    options = parser.parse_args()
    # A worker that is killed takes no child with it: this one ends by itself.
    signal.alarm(ceil(options.timeout) + 5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    manifest = Manifest.model_validate_json(sys.stdin.buffer.read())
    verdict = asyncio.run(_load(manifest, options.folder, options.threads, options.timeout))
    sys.stdout.buffer.write(orjson.dumps(verdict) + b"\n")
    sys.stdout.flush()
    os._exit(0)  # whatever the engine may still be at


if __name__ == "__main__":
    main()
