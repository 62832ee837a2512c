"""Watches a training run: the log, TensorBoard, Prometheus and the alerts hear of every step from here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from training.train.monitor.alerts import Alert, Alerts, Step, Watchdog
from training.train.monitor.board import Board
from training.train.monitor.log import LOG, RunLog, read
from training.train.monitor.machine import Machine
from training.train.monitor.prometheus import Metrics
from training.train.settings import MonitorSettings

_LOGGED: Final = ("epoch", "loss", "learning_rate", "gradient_norm", "samples", "waited")  # of a Step, as they are


class Monitor:
    """The monitor of one run, in the one of its processes that reports."""

    def __init__(
        self, settings: MonitorSettings, model: str, folder: Path, say: Callable[[str], None], *, scaled: bool = False
    ) -> None:
        self._say = say
        self._path = folder / LOG
        self._log = RunLog(self._path)
        self._board = Board(folder)
        self._metrics = Metrics(settings, model, folder)
        self._alerts = Alerts(settings, scaled=scaled)
        self._watchdog = Watchdog(settings.stall_s, self._raise)
        self._machine = Machine()
        self.failed: str | None = None  # what made the run worthless

    def begin(self, step: int, planned: int, settings: dict[str, Any]) -> None:
        """Training begins, or goes on after `step`; `settings` is what it is done with, for the log."""
        self._log.begin(step)
        if step:
            self._say(f"resumed after step {step} of {planned}")
            self._recall()
        else:
            self._log.write("begin", planned=planned, **settings)
        self._board.begin(step)
        self._metrics.start(planned)
        if self._metrics.port is not None:
            self._say(f"metrics on port {self._metrics.port}")
        self._watchdog.start()

    def step(self, step: Step) -> None:
        """A step is done."""
        self._watchdog.heard()
        use = self._machine.read()
        self._metrics.step(step, use)
        self._board.step(step, use)
        self._log.write(
            "step",
            step=step.step,
            epoch=round(step.epoch, 4),
            loss=step.loss,
            learning_rate=step.learning_rate,
            gradient_norm=step.gradient_norm,
            samples=round(step.samples, 1),
            seconds=step.waited + step.computed,
            waited=step.waited,
            cpu=use.cpu,
            memory=use.memory,
            gpu=use.gpu,
            gpu_memory=use.gpu_memory,
        )
        for alert in self._alerts.check(step):
            self._raise(alert, step.step)

    def draw(self, step: int, figures: Mapping[str, float]) -> None:
        """What a task's own Trainer has to say of a step, for TensorBoard alone."""
        self._board.draw(step, figures)

    def alive(self) -> None:
        """Note that the run is alive though no step was done: a batch was evaluated, or a checkpoint written."""
        self._watchdog.heard()

    def record_validation(self, step: int, loss: float) -> None:
        """The validation rows' loss after `step`."""
        self._watchdog.heard()
        self._metrics.validation(loss)
        self._board.draw(step, {"eval/loss": loss})
        self._log.write("validation", step=step, loss=loss)
        self._say(f"step {step}: validation loss {loss:.4f}")

    def end(self) -> None:
        """Nothing more will come, whether all went well or not."""
        self._watchdog.stop()
        self._metrics.stop()
        self._board.end()
        self._log.write("end", failed=self.failed)

    def _recall(self) -> None:
        """Show the alerts the steps before a restart, by which they judge later ones; nothing of them is told twice."""
        for event in read(self._path, "step"):
            figures = {name: float(event[name]) for name in _LOGGED}  # a number that JSON has no form for is its name
            computed = event["seconds"] - event["waited"]
            self._alerts.check(Step(step=event["step"], computed=computed, **figures))

    def _raise(self, alert: Alert, step: int = 0) -> None:
        self._metrics.alert(alert)
        self._log.write("alert", step=step, kind=alert.kind, text=alert.text)
        self._say(f"ALERT ({alert.kind}): {alert.text}")
        if alert.fatal:
            self.failed = alert.text
