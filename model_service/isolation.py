"""Answers suspects: requests that were under way when the process that computed them died.

Which of them it died of is found out by asking each alone, one after the other, in a process that may die of it. The
one that does is refused from then on; all others get their answers, so a process that was killed from outside costs
nobody one.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, Final

from model_service.engines.base import OUTPUT_BYTES, EngineError
from model_service.engines.child_process import ChildProcess, End
from model_service.engines.frames import Closed, as_arrays, as_body, receive, send
from model_service.engines.process import START_S
from model_service.signals import CRASHES, signal_name
from storage.manifest import Manifest
from wire.codec import decode_response, encode_request
from wire.errors import CrashingInput, DeadlineExceeded, EngineFailed, ModelNotReady, Suspect
from wire.messages import InferRequest, InferResponse
from wire.refusals import REFUSED_S, Refusals, fingerprint
from wire.status import from_wire

log = logging.getLogger(__name__)

IDLE_S: Final = 10.0  # how long the process stays for the next suspect
# What it kills itself of convicts at once. Any other signal may have come from outside, the first time.
ATTEMPTS: Final = 2
# How many versions' suspects are asked at the same time, each of which may hang until its deadline. The threads are
# theirs alone: whatever else a worker does in threads goes on.
SUSPECTS_AT_ONCE: Final = 4
_THREADS: Final = ThreadPoolExecutor(SUSPECTS_AT_ONCE, thread_name_prefix="suspect")


class Isolation:
    """Computes suspects of one version, whose artifact is in `folder`. What ends the process goes into `refusals`."""

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        threads: int,
        refusals: Refusals,
        start_s: float = START_S,
        output_bytes: int = OUTPUT_BYTES,
    ) -> None:
        self._manifest = manifest
        self._arguments = (str(folder), "--threads", str(threads), "--output-bytes", str(output_bytes))
        self._start_s = start_s
        self._about = f"{manifest.name} in {folder.name}"
        self._refusals = refusals
        self._process: ChildProcess | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to a suspect, alone.

        Raises CrashingInput, and what the version raises; Suspect where it does not load to be asked, DeadlineExceeded,
        and ModelNotReady once it is closed.
        """
        left = None if request.deadline is None else request.deadline - monotonic()
        try:
            async with asyncio.timeout(left), self._turn:
                return await self._answer(request)
        except TimeoutError:
            raise DeadlineExceeded from None

    async def close(self, timeout_s: float = 30.0) -> None:
        """Answer the suspect whose turn it is, for as long as `timeout_s`, and end the process."""
        self._closed = True
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                await self._end_process()
        except TimeoutError:
            if self._process is not None:
                self._process.kill("this version is unloaded")

    async def _answer(self, request: InferRequest) -> InferResponse:
        self._refusals.check(request)  # the one before it may have been the same
        body, length = encode_request(request)
        for attempt in range(1, ATTEMPTS + 1):
            if self._closed:
                break
            try:
                about, answer = await self._ask(body, length)
            except Closed:
                end = await self._end_process()
                if self._closed:
                    break
                # Whatever this worker has ended itself says nothing of what the input does.
                if end.code >= 0 or end.forced is not None:
                    raise EngineFailed(f"the model's process {end} while it computed this") from None
                if signal_name(end.code) in CRASHES or attempt == ATTEMPTS:
                    raise self._convict(request, end) from None
            else:
                if "error" in about:
                    raise from_wire(500, about["error"], about["message"])
                return decode_response(answer, about["length"])
        raise ModelNotReady("this version was unloaded before it could answer", retry_after=1)

    async def _ask(self, body: bytes, length: int) -> tuple[dict[str, Any], bytes]:
        if self._idle is not None:
            self._idle.cancel()
        loop = asyncio.get_running_loop()
        if self._process is None:
            # Not in a thread: it takes a millisecond, and whoever is cancelled meanwhile could not end it.
            try:
                self._process = ChildProcess("model_service.isolated", self._arguments)
            except OSError as error:  # no process, no memory, no descriptor is left for it
                raise Suspect(f"the model does not load to be asked alone: {error.strerror}") from error
        process = self._process
        try:
            answer = await loop.run_in_executor(_THREADS, self._compute, process, body, length)
        except EngineError as error:
            self._process = None
            raise Suspect(f"the model does not load to be asked alone: {error}") from None
        except asyncio.CancelledError:
            self._process = None
            process.kill("nobody waited for it any more")  # what it is at may have no end
            loop.run_in_executor(None, process.end)
            raise
        self._idle = loop.call_later(IDLE_S, self._leave)
        return answer

    def _compute(self, process: ChildProcess, body: bytes, length: int) -> tuple[dict[str, Any], bytes]:
        """The answer to the request in `body`, in a thread. Raises Closed where the process dies of it."""
        if not process.loaded:
            process.load(self._manifest, self._start_s)
        (connection,) = process.sockets
        send(connection, 0, length, as_arrays(body))
        _, about, frame = receive(connection)
        return about, as_body(frame)

    def _leave(self) -> None:
        if not self._turn.locked() and (process := self._process) is not None:
            self._process = None
            asyncio.get_running_loop().run_in_executor(None, process.end)

    async def _end_process(self) -> End:
        process, self._process = self._process, None
        return End(0) if process is None else await asyncio.to_thread(process.end)

    def _convict(self, request: InferRequest, end: End) -> CrashingInput:
        reason = f"this input ends the model's process, which {end}: it is refused for {REFUSED_S / 60:.0f} minutes"
        self._refusals.add(fingerprint(request), reason)
        log.error("%s: an input is refused, as the process that computed it %s", self._about, end)
        return CrashingInput(reason, retry_after=REFUSED_S)
