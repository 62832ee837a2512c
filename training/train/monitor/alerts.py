"""When a training run has gone wrong."""

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from training.train.settings import MonitorSettings

Kind = Literal["nan", "divergence", "stall", "starvation"]


@dataclass(frozen=True)
class Step:
    """One step of the optimizer. `waited` and `computed` are the seconds spent on data and on everything else."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float  # before it was clipped
    samples: float
    waited: float
    computed: float


@dataclass(frozen=True)
class Alert:
    """What went wrong and what may help; nothing good can come of the run after a fatal one."""

    kind: Kind
    text: str
    fatal: bool = False


def not_a_number(step: int, loss: float, gradient_norm: float, *, scaled: bool = False) -> Alert | None:
    """What there is to say where one of them is not finite.

    `scaled` where a gradient scaler looks for infinite gradients itself, as with fp16.
    """
    if not math.isfinite(loss):
        what = f"the loss is {loss}"
    elif not math.isfinite(gradient_norm) and not scaled:
        what = f"the gradients' norm is {gradient_norm}"
    else:
        return None
    advice = "lower train.learning_rate, warm up longer, or look for broken rows"
    return Alert("nan", f"step {step}: {what}: {advice}", fatal=True)


class Alerts:
    """Looks at every step. Each kind of alert is raised once in a run."""

    def __init__(self, settings: MonitorSettings, *, scaled: bool) -> None:
        """`scaled` as for `not_a_number`."""
        self._settings = settings
        self._scaled = scaled
        self._raised: set[Kind] = set()
        self._losses: deque[float] = deque(maxlen=settings.alert_window)
        self._times: deque[tuple[float, float]] = deque(maxlen=settings.alert_window)
        self._first: float | None = None
        self._lowest = math.inf

    def check(self, step: Step) -> list[Alert]:
        """The alerts that this step gives reason for."""
        nan = not_a_number(step.step, step.loss, step.gradient_norm, scaled=self._scaled)
        found = [alert for alert in (nan, self._divergence(step), self._starvation(step)) if alert]
        new = [alert for alert in found if alert.kind not in self._raised]
        self._raised.update(alert.kind for alert in new)
        return new

    def _divergence(self, step: Step) -> Alert | None:
        self._losses.append(step.loss)
        if len(self._losses) < self._settings.alert_window:
            return None
        mean = fmean(self._losses)
        if self._first is None:
            self._first = mean
        self._lowest = min(self._lowest, mean)
        if mean > self._first and mean > self._settings.divergence * self._lowest:
            return Alert(
                "divergence",
                f"step {step.step}: the mean loss is {mean:.4g}, after {self._lowest:.4g}: lower train.learning_rate",
            )
        return None

    def _starvation(self, step: Step) -> Alert | None:
        self._times.append((step.waited, step.computed))
        if len(self._times) < self._settings.alert_window:
            return None
        waited, computed = (sum(part) for part in zip(*self._times, strict=True))
        if waited > self._settings.starvation * (waited + computed):
            share = waited / (waited + computed)
            return Alert(
                "starvation",
                f"step {step.step}: {share:.0%} of the time goes into waiting for data: "
                "raise train.dataloader_num_workers, or prepare the rows beforehand",
            )
        return None


class Watchdog:
    """Calls `tell` once, from a thread of its own, where nothing has been heard for `seconds`."""

    def __init__(self, seconds: float, tell: Callable[[Alert], None]) -> None:
        self._seconds = seconds
        self._tell = tell
        self._heard = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._watch, daemon=True, name="training-watchdog")

    def start(self) -> None:
        self._thread.start()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard.set()

    def stop(self) -> None:
        self._over = True
        self._heard.set()
        if self._thread.is_alive():  # training may fail before it begins, and what it failed of is to be seen
            self._thread.join()

    def _watch(self) -> None:
        while self._heard.wait(self._seconds):
            self._heard.clear()
            if self._over:
                return
        self._tell(Alert("stall", f"no step was finished for {self._seconds:g} s: see what the process waits for"))
