"""A Prometheus that looks at the platform as the one of deploy/ does, but waits seconds where that waits minutes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests import servers
from tests.compose.stack import DEPLOY, Stack, answers, client, container

# What is said of time in the files of deploy/prometheus. All else in them stays as it is, thresholds above all.
DURATIONS = (
    (r"\b(scrape_interval|evaluation_interval|refresh_interval): \w+", r"\1: 1s"),
    (r"\bfor: \w+", "for: 2s"),
    (r"\[\d+[smh]\]", "[1m]"),
)


def hurry(text: str) -> str:
    for written, instead in DURATIONS:
        text = re.sub(written, instead, text)
    return text


@contextmanager
def hurried(stack: Stack, folder: Path) -> Iterator[Stack]:
    """The same stack, seen by a Prometheus of its own, whose files are in `folder`."""
    folder.chmod(0o755)  # the container's user is not the one of the tests
    for name in ("prometheus.yml", "alerts.yml"):
        (folder / name).write_text(hurry((DEPLOY / "prometheus" / name).read_text()))
    (image,) = stack.compose("images", "--quiet", "prometheus").split()
    port = servers.free_port()
    options = ["--publish", f"127.0.0.1:{port}:9090", "--volume", f"{folder}:/etc/prometheus:ro"]
    command = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
    with container(stack, image, *command, options=options), client(port) as prometheus:
        stack.until(lambda: answers(prometheus, "/-/ready"))
        yield replace(stack, prometheus=prometheus)


def firing(stack: Stack, alert: str, **labels: str) -> bool:
    """Whether an alert fires, and no longer waits to, for what the labels say."""
    wanted = {"alertname": alert, "alertstate": "firing", **labels}
    selector = ", ".join(f'{name}="{value}"' for name, value in wanted.items())
    return bool(stack.query(f"ALERTS{{{selector}}}"))
