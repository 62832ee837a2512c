"""A whole version in a process of its own, for one request at a time: `python -m model_service.isolated SOCKET FOLDER`.

SOCKET is a descriptor. Over it comes the manifest, and a frame goes back once the version is loaded, or is found not to
load; then come requests, as the hop between gateway and worker has them, and an answer goes back for each. What a
request does to this process is what it would have done to a worker (see `isolation`).
"""

import argparse
import asyncio
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

from model_service.engines.base import OUTPUT_BYTES
from model_service.engines.failures import describe
from model_service.engines.frames import Closed, as_arrays, as_body, receive, send
from model_service.loaded_model import LoadedModel
from model_service.opening import open_here
from storage.manifest import Manifest
from wire.codec import decode_request, encode_response
from wire.errors import ServingError, TooLarge
from wire.messages import InferRequest
from wire.tensors import size_of

_BINARY = InferRequest("", None, [], binary_output=True)


async def _serve(connection: socket.socket, model: LoadedModel, output_bytes: int) -> None:
    while True:
        _, length, frame = await asyncio.to_thread(receive, connection)
        about: dict[str, Any]
        try:
            response = await model.infer(decode_request(as_body(frame), length, model.name, None))
            if (size := size_of(response.outputs)) > output_bytes:
                raise TooLarge(f"the answer has {size} bytes, this server takes {output_bytes} of it: ask for less")
            body, json_length = encode_response(response, _BINARY)
            about = {"length": json_length}
        except ServingError as error:
            about, body = {"error": type(error).__name__, "message": str(error)}, b""
        await asyncio.to_thread(send, connection, 0, about, as_arrays(body))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model_service.isolated", description=__doc__)
    parser.add_argument("socket", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output-bytes", type=int, default=OUTPUT_BYTES)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=options.socket)
    _, about, _ = receive(connection)
    manifest = Manifest.model_validate(about)
    try:
        model = open_here(manifest.name, 1, manifest, options.folder, threads=options.threads)
    except Exception as error:  # whatever it is, it is the reason that people will read
        send(connection, 0, describe(error, options.folder), {})
        return
    try:
        send(connection, 0, {}, {})
        asyncio.run(_serve(connection, model, options.output_bytes))
    except Closed:
        os._exit(0)


if __name__ == "__main__":
    main()
