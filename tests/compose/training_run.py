"""A training run as Prometheus sees one, in an image without torch: what it learns is made up, what it says is not.

Figures, alerts and server are those of training's monitor. The argument is what the loss does: converges or diverges.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

from training.train.monitor.alerts import Alerts, Step
from training.train.monitor.prometheus import Metrics
from training.train.monitor.use import Use
from training.train.settings import MonitorSettings

MODEL = "reviews"
RUN = "train-1"
GOES_WRONG_AT = 30


def main(course: str) -> None:
    """Trains for ever, ten steps a second."""
    folder = Path(tempfile.mkdtemp()) / RUN
    folder.mkdir()
    settings = MonitorSettings()
    metrics, alerts = Metrics(settings, MODEL, folder), Alerts(settings, scaled=False)
    metrics.start(planned=10_000)
    for number in itertools.count(1):
        loss = float(number) if course == "diverges" and number > GOES_WRONG_AT else 1 / number
        step = Step(
            number, number / 100, loss, learning_rate=1e-3, gradient_norm=1.0, samples=32, waited=0.01, computed=0.09
        )
        metrics.step(step, Use(cpu=1.0, memory=1 << 30))
        metrics.validation(loss)
        for alert in alerts.check(step):
            metrics.alert(alert)
        time.sleep(0.1)


if __name__ == "__main__":
    main(sys.argv[1])
