"""What `headrace train watch` shows of a run: its log, as it grows."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from training.train.monitor.log import LOG

_EVERY_S: Final = 0.5


def lines(folder: Path) -> Iterator[str]:
    """A line for each event in the log of the train stage's `folder`: those there are, then those to come.

    Ends when the run has ended, well or not. A killed run has no end in its log: this then waits for the one that
    resumes it.
    """
    planned = 0
    for event in _events(folder / LOG):
        planned = event.get("planned", planned)
        match event["event"]:
            case "begin":
                yield f"{event['trainable_parameters']:,} of {event['parameters']:,} weights, {event['precision']}"
            case "step":
                yield (
                    f"{event['step']}/{planned}  loss {event['loss']:.4f}  rate {event['learning_rate']:.3g}"
                    f"  gradients {event['gradient_norm']:.3g}  {event['samples'] / event['seconds']:.1f} rows/s"
                    f"  waiting {event['waited'] / event['seconds']:.0%}  {event['cpu']:.1f} cores"
                    f"  {event['memory'] / 2**30:.2f} GiB"
                )
            case "validation":
                yield f"{event['step']}/{planned}  validation loss {event['loss']:.4f}"
            case "alert":
                yield f"ALERT ({event['kind']})  {event['text']}"
            case "end":
                return


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """The events, without an end.

    A run that resumes writes the log anew, up to where it resumes: what was shown is not shown again.
    """
    position, rest = 0, ""
    while True:
        if path.is_file():
            size = path.stat().st_size
            position = min(position, size)
            with path.open() as file:
                file.seek(position)
                *whole, rest = file.read().split("\n")
            position = size - len(rest.encode())
            yield from (_numbers(json.loads(line)) for line in whole)
        time.sleep(_EVERY_S)


def _numbers(event: dict[str, Any]) -> dict[str, Any]:
    """Loss and gradients as numbers, where they are NaN as well."""
    return event | {name: float(event[name]) for name in ("loss", "gradient_norm") if name in event}
