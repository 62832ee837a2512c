"""All faults, with what each may cost whoever does nothing wrong."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from loadtests.chaos import clients, models, processes, requests, storage
from loadtests.chaos.client import Question
from loadtests.chaos.load import CONNECTIONS, numbers
from loadtests.chaos.platform import Running, up
from loadtests.chaos.texts import minilm, texts
from storage.importers import Import

FAIL_OVER_S: Final = 2.0  # a health interval, and its check
Start = Callable[..., AbstractContextManager[Running]]


@dataclass(frozen=True)
class Fault:
    """`act` does it and returns what there is to note; the platform has the models that are asked, and `more`.

    No more than `may_fail` of the requests of well-behaved clients may fail, and none may wait for more than `stall_s`
    seconds in which nobody is answered.
    """

    name: str
    act: Callable[[Running], list[str]]
    more: Callable[[], Sequence[Import]] = tuple
    asked: Callable[[], Sequence[Import]] = lambda: (models.doubled(), models.doubled("kept", cache_ttl_s=3600))
    questions: Callable[[], list[Question]] = numbers
    start: Start = up
    envoy: bool = False
    may_fail: int = 0
    stall_s: float = 2.0
    longest_s: float | None = None  # that a single request may take, where that is promised

    @property
    def about(self) -> str:
        """What is done, in a sentence."""
        what = (self.act.__doc__ or "").strip().removesuffix(".")
        return f"{what}; Envoy balances" if self.envoy else what


def _seven_more() -> list[Import]:
    return [models.doubled(f"other-{number}") for number in range(7)]


FAULTS: Final = (
    Fault("stop-worker", processes.stop_worker, longest_s=FAIL_OVER_S),
    Fault("stop-worker-envoy", processes.stop_worker, envoy=True, longest_s=FAIL_OVER_S),
    Fault("kill-worker", processes.kill_worker, more=_seven_more),
    Fault("kill-worker-envoy", processes.kill_worker, more=_seven_more, envoy=True),
    Fault("term-worker", processes.tell_worker),
    Fault("kill-gateway", processes.kill_gateway, may_fail=CONNECTIONS),  # those that it was just answering
    Fault("term-gateway", processes.tell_gateway),
    Fault("hung-trial", processes.hang_trial),
    Fault("query-of-death", requests.divide_integers, more=lambda: [models.quotient()]),
    Fault("endless-loop", requests.loop_for_ever, more=lambda: [models.endless()]),
    Fault("long-texts", requests.send_long_texts, asked=lambda: [minilm()], questions=texts),
    Fault("sqlite-held", storage.hold_sqlite),
    Fault("slow-store", storage.publish_slowly, start=storage.over_a_bucket),
    Fault("kill-valkey", processes.kill_valkey),
    Fault("stop-valkey", processes.stop_valkey),
    Fault("json-bombs", requests.bomb_with_json),
    Fault("gzip-bombs", requests.bomb_with_gzip),
    Fault("slow-heads", clients.send_heads_slowly),
    Fault("slow-bodies", clients.send_bodies_slowly),
    Fault("huge-heads", clients.send_huge_heads),
    Fault("unread-answers", clients.read_nothing, more=lambda: [models.wide()]),
    Fault("bad-requests", clients.send_nonsense),
)
