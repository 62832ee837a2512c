"""What Prometheus finds where something trains, without the image that training takes: see training_run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.compose import training_run
from tests.compose.stack import DEPLOY, Stack, container

PORT = 9108


@contextmanager
def training(stack: Stack, course: Literal["converges", "diverges"]) -> Iterator[None]:
    """A container by the name that deploy/compose.yaml gives a trainer, as long as the block lasts.

    training's monitor is laid into a worker's image, which has what it imports.
    """
    files = {DEPLOY.parent / "training": "/app/training", Path(training_run.__file__): "/app/training_run.py"}
    mounts = [option for here, there in files.items() for option in ("--volume", f"{here}:{there}:ro")]
    settings = {"HEADRACE_TRAINING_METRICS_HOST": "0.0.0.0", "HEADRACE_TRAINING_METRICS_PORT": str(PORT)}
    given = [option for name, value in settings.items() for option in ("--env", f"{name}={value}")]
    options = ["--network-alias", "trainer", *mounts, *given]
    with container(stack, "headrace/worker:test", "python", "training_run.py", course, options=options):
        yield
