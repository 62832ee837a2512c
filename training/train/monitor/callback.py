"""Tells the monitor what transformers' Trainer does, and ends what comes to nothing."""

from time import monotonic
from typing import Any, Final

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.train.monitor.alerts import Step, not_a_number
from training.train.monitor.monitor import Monitor

_STEP: Final = ("loss", "learning_rate", "grad_norm", "epoch", "eval_loss")  # of what is logged, what is a step's own


class EndCallback(TrainerCallback):
    """Has the last step logged, and ends a training whose loss is no number: `failed` then says so.

    Every process has one, and sees the same figures: one that left the loop alone would leave the others waiting in it.
    """

    def __init__(self, *, scaled: bool) -> None:
        self._scaled = scaled
        self.failed: str | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_log = True  # however seldom the recipe has it done: the result is read from the log

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        found = not_a_number(state.global_step, logs["loss"], logs["grad_norm"], scaled=self._scaled)
        if found is not None:
            self.failed = found.text
            control.should_training_stop = True
            control.should_evaluate = control.should_save = False


class MonitorCallback(TrainerCallback):
    """`rows` is how many rows an epoch has, `settings` what the log says at its beginning.

    The Trainer fetches a step's batches between the end of the step before, with what is logged, evaluated and saved
    there, and `on_step_begin`: that is the time spent waiting for data.
    """

    def __init__(self, monitor: Monitor, rows: int, settings: dict[str, Any]) -> None:
        self._monitor, self._rows, self._settings = monitor, rows, settings
        self._since = 0.0
        self._waited = self._computed = 0.0
        self._epoch = 0.0
        self._over = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._monitor.begin(state.global_step, state.max_steps, self._settings)
        self._epoch = float(state.epoch or 0)
        self._since = monotonic()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        now = monotonic()
        self._waited += now - self._since
        self._since = now

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        now = monotonic()
        self._computed += now - self._since
        self._since = now
        self._monitor.alive()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        logs = logs or {}
        if not self._over:
            more = {_tag(k): v for k, v in logs.items() if k not in _STEP and isinstance(v, int | float)}
            self._monitor.draw(state.global_step, more)
        if "loss" not in logs:
            return
        epoch = float(state.epoch or 0)
        self._monitor.step(
            Step(
                state.global_step,
                epoch,
                float(logs["loss"]),
                float(logs["learning_rate"]),
                float(logs["grad_norm"]),
                (epoch - self._epoch) * self._rows,
                self._waited,
                self._computed,
            )
        )
        self._epoch = epoch
        self._waited = self._computed = 0.0
        self._since = monotonic()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._monitor.alive()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if metrics is not None and not self._over:
            self._monitor.record_validation(state.global_step, metrics["eval_loss"])
        self._since = monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._monitor.alive()
        self._since = monotonic()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._over = True  # what is evaluated now are the weights that are kept, not the last step's


def _tag(name: str) -> str:
    return f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
