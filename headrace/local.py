"""`headrace up`: the whole platform on one machine, from the first process to the last.

Valkey -> migrations -> workers, gateways, demo models -> answering ... -> gateways, workers, Valkey stopped
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from socket import socket
from time import monotonic
from typing import Any

from rich.console import Console
from rich.status import Status

from headrace import ports
from headrace.api import Api
from headrace.data_folder import DataFolder
from headrace.demo import DEMO_MODELS, register_demo
from headrace.errors import CommandError
from headrace.local_registry import LocalRegistry, prepare
from headrace.plan import LocalPlatform, Options, plan
from headrace.process import ADMIN_TOKEN, Process
from headrace.readiness import wait_until_live, wait_until_ready, wait_until_serving
from service.origin import is_loopback

GRACE_S = 10.0  # for what is in flight when the platform is stopped


async def up(options: Options, console: Console) -> None:
    """Run the platform until SIGINT, SIGTERM or SIGHUP; the next one stops it without waiting for what is in flight.

    Raises CommandError where the folder or the port is taken, or where a program ends before the platform answers.
    """
    data = DataFolder(options.data)
    with data.lock() as announce_at, ports.bind(options.host, options.port) as listening:
        url = ports.url_of(options.host, listening.getsockname()[1])
        announce_at(url)
        with data.sockets() as sockets:
            try:
                platform = plan(options, data, sockets, listening)
            except OSError as error:
                raise CommandError(
                    f"{data.root} cannot be used: {error.strerror}", "make room there, or choose another with --data"
                ) from error
            await _run(options, data, platform, listening, url, console)


async def _run(
    options: Options, data: DataFolder, platform: LocalPlatform, listening: socket, url: str, console: Console
) -> None:
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
        listening.close()  # so that nobody queues for gateways that are leaving
        await _stop(platform, console)


async def _serve(options: Options, data: DataFolder, platform: LocalPlatform, url: str, console: Console) -> None:
    began = monotonic()
    with console.status("starting the cache, bringing the registry up to date") as status:
        _start(platform.logs, platform.valkey)
        await prepare(data)
        async with LocalRegistry.open(data.database_url, str(data.artifacts)) as registry:
            for replica in await registry.replicas():  # of a run that was killed: this one holds the folder alone
                await registry.rows.forget(replica.id)
            _start(*platform.serving)
            starting = _become_ready(options, data, registry, url, status)
            await first_of(starting, *(process.must_not_end() for process in platform.processes))
            models = sorted(model.name for model in await registry.models())
    announce(url, models, data, monotonic() - began, console)
    if not is_loopback(options.host):
        console.print(warning(options.host, bool(os.environ.get(ADMIN_TOKEN))), style="bold red", soft_wrap=True)
    if options.as_json:
        print(json.dumps(addresses(url, models, data)), flush=True)
    await asyncio.gather(*(process.keep_running(speaker(console)) for process in platform.processes))


def _start(*processes: Process) -> None:
    for process in processes:
        try:
            process.start()
        except OSError as error:
            raise CommandError(f"{process.program.name} could not be started: {error.strerror}") from error


async def _become_ready(options: Options, data: DataFolder, registry: LocalRegistry, url: str, status: Status) -> None:
    """Register what is missing and wait for what is there, side by side, since each takes its time."""
    made = []

    async def make(name: str) -> None:
        if await register_demo(name, registry, data.root):
            made.append(name)
            status.console.print(f"made and registered the demo model {name}")

    if options.demo:
        status.update("making the demo models digits and minilm")
        await asyncio.gather(*(make(name) for name in DEMO_MODELS))
    async with Api.open(url) as api:
        status.update("waiting for the gateway")
        await wait_until_live(api)
        status.update("loading the models")
        await wait_until_serving(api, registry, speaker(status.console), made=made)
        if not await wait_until_ready(api):
            speaker(status.console)("no worker is ready yet: `headrace status` tells why")


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


def warning(host: str, guarded: bool) -> str:
    """What is open to others where the gateway listens on more than this machine's own address."""
    admin = (
        "whoever has HEADRACE_ADMIN_TOKEN, which travels unencrypted, can publish, promote and remove models"
        if guarded
        else "the admin API is closed, to you as well, as HEADRACE_ADMIN_TOKEN is not set"
    )
    return (
        f"OPEN TO OTHERS: the gateway listens on {host}. Whoever reaches this machine can ask every model without a "
        f"token, and read which there are, their descriptions, statistics and metrics; {admin}."
    )


def speaker(console: Console) -> Callable[[str], None]:
    """Prints text as it is: paths and reasons hold brackets, and a line to copy is not to be broken."""
    return partial(console.print, markup=False, soft_wrap=True)


async def _stop(platform: LocalPlatform, console: Console) -> None:
    """The gateways first, so that nothing new comes in; then the workers, the cache that gateways use, and the logs."""
    with console.status("stopping"):
        await asyncio.gather(*(gateway.stop(GRACE_S) for gateway in platform.gateways))
        if platform.envoy is not None:
            await platform.envoy.stop(GRACE_S)
        await asyncio.gather(*(worker.stop(GRACE_S) for worker in platform.workers))
        await platform.valkey.stop(GRACE_S)
        for process in platform.processes:
            if process.program.log is not None:
                process.program.log.close()
        await platform.logs.end(GRACE_S)
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
