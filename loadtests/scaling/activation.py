"""No worker while nobody asks: what KEDA decides by itself, between none and one.

Source: "Scaling Deployments" and "ScaledObject specification" in KEDA's documentation (activation and scaling
thresholds, pollingInterval, cooldownPeriod). It looks every polling interval. One trigger above its activation
threshold is enough to be active, and then it sets one replica where there is none; where no trigger has been for the
cooldown period, it sets none. From one on the HorizontalPodAutoscaler decides, which these few requests give nothing
to do.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypedDict

from loadtests.scaling.manifests import Activation, Scaling
from loadtests.scaling.simulate import START_S

DAY_S: Final = 24 * 3600
A_DAY: Final = (10, 100, 1_000, 10_000)
DAYS: Final = 20


class Idle(TypedDict):
    """Means over days with so many requests. Of `cold` ones (a share) the wait is how long until one was answered."""

    requests: int
    awake: float  # share of the day
    core_hours: float
    core_hours_at_least: float  # of the fewest workers that there are where they do not go to none
    wakes: float
    cold: float
    wait_mean_s: float
    wait_max_s: float


@dataclass
class Seen:
    """What became of the requests. `waits_s` are of those that had to be sent again."""

    awake_s: int
    wakes: int
    waits_s: list[int]


def idle_days(minutes: Sequence[float], rules: Activation, worker: Scaling) -> list[Idle]:
    """Days with few requests, by chance, and in the course of the recorded day."""
    ready_after_s = START_S["worker"] + worker.seen_after_s
    found = []
    for requests in A_DAY:
        seen = simulate(by_chance(minutes, requests, DAYS), rules, ready_after_s)
        cold, awake = len(seen.waits_s), seen.awake_s / (DAYS * DAY_S)
        found.append(
            Idle(
                requests=requests,
                awake=awake,
                core_hours=24 * awake * worker.cores,
                core_hours_at_least=24 * worker.minimum * worker.cores,
                wakes=seen.wakes / DAYS,
                cold=cold / (DAYS * requests),
                wait_mean_s=sum(seen.waits_s) / max(cold, 1),
                wait_max_s=max(seen.waits_s, default=0),
            )
        )
    return found


def by_chance(minutes: Sequence[float], requests: int, days: int) -> Iterator[int]:
    """How many requests come in each second: so many on each day, at times drawn in proportion to its minutes."""
    draw = random.Random(requests)
    shares = list(accumulate(minutes))
    for _ in range(days):
        drawn = draw.choices(range(len(minutes)), cum_weights=shares, k=requests)
        came = [0] * DAY_S
        for minute in drawn:
            came[60 * minute + draw.randrange(60)] += 1
        yield from came


def simulate(arrivals: Iterator[int], rules: Activation, ready_after_s: int) -> Seen:
    """Second by second, from none on. What finds no worker gets 503 and is sent again a second later, as the gateway
    says (`Retry-After: 1`), which is counted as a request too."""
    seen = Seen(0, 0, [])
    waiting: list[int] = []  # when each was sent first
    samples: deque[tuple[int, int]] = deque()
    count, started, active_at = 0, -1, 0
    for now, came in enumerate(arrivals):
        waiting += [now] * came
        count += len(waiting)
        if started >= 0 and now - started >= ready_after_s:
            seen.waits_s += [now - first for first in waiting if first < now]
            waiting = []
        if now % rules.scrape_s == rules.scrape_s // 2:  # between two looks of KEDA
            samples.append((now, count))
        if now % rules.polling_s == 0:
            while samples and samples[0][0] <= now - rules.window_s:
                samples.popleft()
            grown = samples[-1][1] - samples[0][1] if samples else 0
            if grown / rules.window_s > rules.threshold:
                active_at = now
                if started < 0:
                    started, seen.wakes = now, seen.wakes + 1
            elif now - active_at >= rules.cooldown_s:
                started = -1
        seen.awake_s += started >= 0
    return seen
