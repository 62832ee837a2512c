"""Requests that do harm by what they ask for."""

import gzip
import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

from loadtests.chaos.models import COLUMNS, INT32_MIN
from loadtests.chaos.platform import Running

BOMB = 64 << 20
TIMEOUT_S = 40


def divide_integers(platform: Running) -> list[str]:
    """An integer division that ends the process that computes it, five times, a second apart."""
    body = _inputs(a=("INT32", [1, 1], [INT32_MIN]), b=("INT32", [1, 1], [-2]))
    answers = []
    for _ in range(5):
        answers.append(_ask(platform, "quotient", body))
        time.sleep(1)
    time.sleep(3)
    return [f"answered {', '.join(answers)}"]


def loop_for_ever(platform: Running) -> list[str]:
    """A loop that does not end in time, four times at once; then one that does."""

    def ask(times: int) -> str:
        body = _inputs(times=("INT64", [], [times]), x=("FP32", [COLUMNS], [1.0] * COLUMNS))
        return _ask(platform, "endless", body, {"x-request-timeout-ms": "2000"})

    answers = _at_once(4, lambda: ask(2**40))
    time.sleep(3)
    return [f"answered {dict(answers)}; afterwards a loop of three answers {ask(3)}"]


def bomb_with_json(platform: Running) -> list[str]:
    """Bodies of 3.9 MB that are nothing but `{},`, eight at once, ten times."""
    body = b'{"inputs": [' + b"{}," * 1_300_000 + b"{}]}"
    counts: Counter[str] = Counter()
    for _ in range(10):
        counts += _at_once(8, lambda: _ask(platform, "doubled", body))
    return [f"answered {dict(counts)}"]


def bomb_with_gzip(platform: Running) -> list[str]:
    """64 MB of `{},` gzipped to 65 kB, twelve at once."""
    start = b'{"inputs": ['
    body = gzip.compress(start + b"{}," * ((BOMB - len(start) - 4) // 3) + b"{}]}")
    answers = _at_once(12, lambda: _ask(platform, "doubled", body, {"content-encoding": "gzip"}))
    return [f"answered {dict(answers)}"]


def send_long_texts(platform: Running) -> list[str]:
    """Two requests of 200 long texts each, beside single short ones."""
    text = "water runs through the channel to the wheel and on to the river " * 12
    body = json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [200], "data": [text] * 200}]})
    answers = _at_once(2, lambda: _ask(platform, "minilm", body.encode(), {"cache-control": "no-cache"}))
    return [f"answered {dict(answers)}"]


def _inputs(**tensors: tuple[str, list[int], list[Any]]) -> bytes:
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "data": data}
        for name, (datatype, shape, data) in tensors.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def _ask(platform: Running, model: str, body: bytes, headers: Mapping[str, str] | None = None) -> str:
    """The answer's status, or what came instead of an answer."""
    request = urllib.request.Request(
        f"{platform.url}/v2/models/{model}/infer", body, {"content-type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return type(error).__name__


def _at_once(count: int, ask: Any) -> Counter[str]:
    answers: Counter[str] = Counter()
    threads = [threading.Thread(target=lambda: answers.update([ask()])) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
