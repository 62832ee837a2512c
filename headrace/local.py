"""`headrace up`: the whole platform on one machine, from the first process to the last.

Valkey -> migrations -> workers, gateway, demo models -> answering ... -> gateway, workers, Valkey stopped
"""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

from rich.console import Console
from rich.status import Status

from headrace import ports
from headrace.api import Api
from headrace.data_folder import DataFolder
from headrace.demo import DEMO_MODELS, register_demo
from headrace.local_registry import LocalRegistry, prepare
from headrace.plan import Options, Platform, plan
from headrace.readiness import wait_until_live, wait_until_ready

GRACE_S = 10.0  # for what is in flight when the platform is stopped


async def up(options: Options, console: Console) -> None:
    """Run the platform until SIGINT, SIGTERM or SIGHUP; the next one stops it without waiting for what is in flight.

    Raises CommandError where the folder or the port is taken, or where a program ends before the platform answers.
    """
    data = DataFolder(options.data)
    url = ports.url_of(options.host, options.port)
    with data.locked(url), data.socket() as socket:
        ports.check_free(options.host, options.port)
        platform = plan(options, data, socket)
        interrupted = asyncio.Event()

        def interrupt() -> None:
            if interrupted.is_set():
                for process in platform.processes:
                    process.kill()
            interrupted.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        try:
            await first_of(_serve(options, data, platform, url, console), interrupted.wait())
        finally:
            await _stop(platform, console)


async def _serve(options: Options, data: DataFolder, platform: Platform, url: str, console: Console) -> None:
    began = monotonic()
    with console.status("starting the cache, bringing the registry up to date") as status:
        await platform.valkey.start()
        await prepare(data)
        async with LocalRegistry.open(data.database_url, str(data.artifacts)) as registry:
            for replica in await registry.replicas():  # of a run that was killed: this one holds the folder alone
                await registry.rows.forget(replica.id)
            for process in platform.serving:
                await process.start()
            starting = _become_ready(options, data, registry, url, status)
            await first_of(starting, *(process.must_not_end() for process in platform.processes))
            models = sorted(model.name for model in await registry.models())
    announce(url, models, data, monotonic() - began, console)
    if options.as_json:
        print(json.dumps(addresses(url, models, data)), flush=True)
    await asyncio.gather(*(process.keep_running(speaker(console)) for process in platform.processes))


async def _become_ready(options: Options, data: DataFolder, registry: LocalRegistry, url: str, status: Status) -> None:
    """Register what is missing and wait for what is there, side by side, since each takes its time."""
    say = speaker(status.console)

    async def make(name: str) -> None:
        if await register_demo(name, registry, data.root):
            status.console.print(f"made and registered the demo model {name}")

    if options.demo:
        status.update("making the demo models digits and minilm")
        await asyncio.gather(*(make(name) for name in DEMO_MODELS))
    async with Api.open(url) as api:
        status.update("waiting for the gateway")
        await wait_until_live(api)
        for model in await registry.models():
            if model.enabled and model.aliases:
                status.update(f"loading {model.name}")
                await wait_until_ready(api, registry, model.name, say)


def addresses(url: str, models: Sequence[str], data: DataFolder) -> dict[str, Any]:
    """What a program needs that started the platform."""
    return {
        "url": url,
        "docs": f"{url}/docs",
        "metrics": f"{url}/metrics",
        "models": list(models),
        "data": str(data.root),
        "logs": str(data.logs),
    }


def announce(url: str, models: Sequence[str], data: DataFolder, seconds: float, console: Console) -> None:
    """Where it answers, and one line to try."""
    if "minilm" in models:
        body = '{"model": "minilm", "input": ["The river is high.", "Water is rising."]}'
        attempt = f"curl -s {url}/v1/embeddings -H 'content-type: application/json' -d '{body}'"
    elif models:
        attempt = f"curl -s {url}/v2/models/{models[0]}"
    else:
        attempt = f"headrace models add ./my-model --data {data.root}"
    lines = [
        f"headrace answers at {url} after {seconds:.1f} s",
        f"  models   {', '.join(models) or 'none yet'}",
        f"  docs     {url}/docs",
        f"  metrics  {url}/metrics",
        f"  logs     {data.logs}",
        "try it:",
        f"  {attempt}",
        "Ctrl-C stops everything",
    ]
    speaker(console)("\n".join(lines))


def speaker(console: Console) -> Callable[[str], None]:
    """Prints text as it is: paths and reasons hold brackets, and a line to copy is not to be broken."""
    return partial(console.print, markup=False, soft_wrap=True)


async def _stop(platform: Platform, console: Console) -> None:
    """The gateway first, so that nothing new comes in; then the workers; the cache last, since the gateway uses it."""
    with console.status("stopping"):
        await platform.gateway.stop(GRACE_S)
        if platform.envoy is not None:
            await platform.envoy.stop(GRACE_S)
        await asyncio.gather(*(worker.stop(GRACE_S) for worker in platform.workers))
        await platform.valkey.stop(GRACE_S)
    console.print("stopped")


async def first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Run them side by side until one ends, and cancel the others. Raises what that one raises."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
