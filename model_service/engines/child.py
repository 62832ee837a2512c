"""The process of one engine: `python -m model_service.engines.child CONTROL CHANNEL... --folder FOLDER --threads N
--output-bytes N`.

CONTROL and each CHANNEL are descriptors of sockets to the worker. Over CONTROL comes the manifest; the graph's tensors,
or why it does not load, go back; then come the runs that are to end (see `Channel.stop`). Each CHANNEL carries one run
at a time, and a thread of its own serves it. A crash, a leak or a hang of the graph is this process's alone, and it
ends with its worker.
"""

import argparse
import os
import resource
import signal
import socket
from contextlib import suppress
from pathlib import Path
from threading import Thread

from model_service import memory
from model_service.engines.base import OUTPUT_BYTES, Engine, check_outputs
from model_service.engines.cancel import CancelToken
from model_service.engines.failures import describe
from model_service.engines.frames import Closed, receive, send
from model_service.engines.open import open_engine
from storage.manifest import Manifest


class Channel:
    """Serves one socket's runs, one after the other."""

    def __init__(self, engine: Engine, folder: Path, connection: socket.socket, output_bytes: int) -> None:
        self._engine = engine
        self._output_bytes = output_bytes
        self._folder = folder
        self._connection = connection
        self._run = 0
        self._cancel = CancelToken()
        self._stopped = 0  # the last run that was to end; it may not have come yet

    def serve(self) -> None:
        while True:
            run, _, inputs = receive(self._connection)
            self._cancel = CancelToken()
            self._run = run
            if self._stopped >= run:
                self._cancel.cancel()
            try:
                about, outputs = None, self._engine.run(inputs, self._cancel)
                check_outputs(outputs, self._output_bytes)
            except Exception as error:
                about, outputs = describe(error, self._folder), {}
            del inputs
            send(self._connection, run, about, outputs)

    def stop(self, run: int) -> None:
        self._stopped = run
        if self._run == run:
            self._cancel.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_service.engines.child", description=__doc__)
    parser.add_argument("control", type=int)
    parser.add_argument("channels", type=int, nargs="+")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output-bytes", type=int, default=OUTPUT_BYTES)
    options = parser.parse_args()
    memory.use_one_arena()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's goes to the whole group: the worker says when
    control = socket.socket(fileno=options.control)
    _, about, _ = receive(control)
    try:
        engine = open_engine(Manifest.model_validate(about), options.folder, threads=options.threads)
    except Exception as error:
        send(control, 0, describe(error, options.folder), {})
        return
    channels = [
        Channel(engine, options.folder, socket.socket(fileno=number), options.output_bytes)
        for number in options.channels
    ]
    for channel in channels:
        Thread(target=_until_closed, args=(channel,), daemon=True).start()
    memory.give_back()  # a third of what loading took was for the time of loading
    specs = {"inputs": engine.inputs, "outputs": engine.outputs}
    told = {name: [spec.model_dump() for spec in tensors] for name, tensors in specs.items()}
    send(control, 0, told, {})
    try:
        while True:
            run, channel_number, _ = receive(control, ahead=0)
            channels[channel_number].stop(run)
    except Closed:
        os._exit(0)  # the worker is gone or done: whatever the engine may still be at


def _until_closed(channel: Channel) -> None:
    with suppress(Closed):
        channel.serve()


if __name__ == "__main__":
    main()
