"""The user that all scenarios share: requests leave when they are due, whatever became of those before them.

Locust's own wait times begin when an answer has come, so that a server that stalls is spared the load (coordinated
omission: G. Tene, "How NOT to Measure Latency"). Here the users share one list of due times: each takes the next one,
sleeps until then, sends, and counts the latency from when it was due, also where it had to wait for a user to be free.
A user is a connection, so there should be more of them than requests in flight.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests.scenarios.arrivals import Phase
from loadtests.scenarios.record import Record, Thresholds
from loadtests.scenarios.run import Run
from loadtests.scenarios.traffic import Request, by_turns, requests
from loadtests.sentences import corpus

# The answers are too small to be worth compressing, which Locust would ask for.
_HEADERS = {"content-type": "application/json", "accept-encoding": "identity"}
_CACHED = {"hit": True, "miss": False, "bypass": False}


class OpenLoop(FastHttpUser):
    """A scenario is a subclass of it in a locustfile; `options` are the command line's."""

    abstract = True
    scenario: ClassVar[str]
    thresholds: ClassVar[Thresholds] = Thresholds(mean_ms=80)
    started: ClassVar[Event] = Event()
    current: ClassVar[Run]  # set before `started` is

    @staticmethod
    def phases(options: Any) -> Sequence[Phase]:
        """The rate over time."""
        raise NotImplementedError

    @staticmethod
    def traffic(options: Any) -> Iterator[Request]:
        """What is asked, without end: of one model each sentence, unless a scenario says otherwise."""
        return by_turns(requests(options.model, corpus()))

    @task
    def send(self) -> None:
        """One request, when it is due."""
        self.started.wait()
        run = OpenLoop.current
        if (found := run.next()) is None:
            raise StopUser
        try:
            self._ask(*found)
        finally:
            run.done()

    def _ask(self, record: Record, due: float, on_clock: float, request: Request) -> None:
        lag = None
        if (early := on_clock - time.perf_counter()) > 0:
            gevent.sleep(early)
            lag = time.perf_counter() - on_clock  # else it was the server that kept all users
        record.sent(due, lag)
        with self.client.post(
            request.path,
            data=request.body,  # type: ignore[arg-type]  # it sends bytes as they are
            headers=_HEADERS,
            name=request.model,
            catch_response=True,
        ) as answer:
            latency = time.perf_counter() - on_clock
            answer.request_meta["response_time"] = latency * 1000
            if answer.status_code == 200:
                answer.success()
                cached = _CACHED.get(answer.headers.get("x-cache", ""))
                record.served(request.model, due, latency, cached)
            else:
                answer.failure(why := _why(answer))
                record.failed(why)


def _why(answer: Any) -> str:
    return f"{answer.status_code} {(answer.text or '')[:200]}" if answer.status_code else type(answer.error).__name__
