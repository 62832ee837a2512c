"""A training run's figures in Prometheus' terms: served on a port, and written to a file for the textfile collector."""

from pathlib import Path
from typing import Final, get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server, write_to_textfile

from training.train.monitor.alerts import Alert, Kind, Step
from training.train.monitor.use import Use
from training.train.settings import MonitorSettings

FILE: Final = "metrics.prom"
_LABELS: Final = ("model", "run")
GAUGES: Final = {
    "step": "Steps of the optimizer done.",
    "steps_planned": "Steps of the optimizer that the run will take.",
    "epoch": "Passes over the training rows done.",
    "loss": "Training loss of the last step.",
    "validation_loss": "Loss on the validation rows, when it was last computed.",
    "learning_rate": "Learning rate of the last step.",
    "gradient_norm": "Norm of the last step's gradients, before it was clipped.",
    "samples_per_second": "Training rows a second, over the last step.",
    "data_wait_ratio": "Part of the last step's time spent waiting for the data loader.",
    "cpu_cores": "Cores in use by the process and its data loader's workers.",
    "memory_bytes": "Resident memory of the process and its data loader's workers.",
    "gpu_memory_bytes": "Memory of the GPU in use by tensors.",
    "gpu_utilization_ratio": "Part of the time that the GPU was busy.",
    "running": "1 while the run trains, 0 when it has ended.",
}


class MetricsUnserved(Exception):
    """The port that was asked for cannot be had."""


class Metrics:
    """`headrace_training_*`, with the labels `model`, the recipe's name, and `run`, the stage's folder."""

    def __init__(self, settings: MonitorSettings, model: str, folder: Path) -> None:
        self._settings = settings
        self._file = folder / FILE
        self._registry = CollectorRegistry()
        self._values = (model, folder.name)
        self._gauges = {
            name: Gauge(f"headrace_training_{name}", text, _LABELS, registry=self._registry)
            for name, text in GAUGES.items()
        }
        self._alerts = Counter(
            "headrace_training_alerts", "Alerts raised, by kind.", (*_LABELS, "kind"), registry=self._registry
        )
        for kind in get_args(Kind):
            self._alerts.labels(*self._values, kind)  # none raised is said too
        self._server: WSGIServer | None = None
        self.port: int | None = None

    def start(self, planned: int) -> None:
        """Serve, where the settings name a port: `port` says which one was taken."""
        if self._settings.metrics_port is not None:
            host, port = self._settings.metrics_host, self._settings.metrics_port
            try:
                self._server, _ = start_http_server(port, host, self._registry)
            except OSError as error:
                raise MetricsUnserved(
                    f"no metrics can be served on {host}:{port}, {error.strerror}: set HEADRACE_TRAINING_METRICS_PORT "
                    "to another port, to 0 for any free one, or leave it out"
                ) from error
            self.port = self._server.server_port
        self._set(running=1, steps_planned=planned)

    def step(self, step: Step, use: Use) -> None:
        """Take over a step's figures."""
        seconds = step.waited + step.computed
        self._set(
            step=step.step,
            epoch=step.epoch,
            loss=step.loss,
            learning_rate=step.learning_rate,
            gradient_norm=step.gradient_norm,
            samples_per_second=step.samples / seconds,
            data_wait_ratio=step.waited / seconds,
            cpu_cores=use.cpu,
            memory_bytes=use.memory,
            gpu_memory_bytes=use.gpu_memory,
            gpu_utilization_ratio=use.gpu,
        )

    def validation(self, loss: float) -> None:
        """Take over a validation loss."""
        self._set(validation_loss=loss)

    def alert(self, alert: Alert) -> None:
        """Count an alert."""
        self._alerts.labels(*self._values, alert.kind).inc()
        write_to_textfile(str(self._file), self._registry)

    def stop(self) -> None:
        """The run is over: a last figure in the file, and the port given back."""
        self._set(running=0)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _set(self, **values: float | None) -> None:
        for name, value in values.items():
            if value is not None:
                self._gauges[name].labels(*self._values).set(value)
        write_to_textfile(str(self._file), self._registry)  # by rename: nobody reads half of it
