"""Makes every peer's environment, then starts each peer and asks it once: `python -m loadtests.peers [name ...]`.

An environment that was made from the same requirements is left as it is.
"""

import argparse
import subprocess
import sys
import time

from loadtests.payloads import items
from loadtests.peers.known import PEERS
from loadtests.peers.peer import Peer


def install(peer: Peer) -> None:
    """Bring the peer's environment up to its requirements. Raises CalledProcessError where pip fails."""
    if peer.installed:
        return
    print(f"{peer.name}: installing into {peer.environment_folder} (minutes)", flush=True)
    python = peer.environment_folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", peer.environment_folder], check=True)
    options = ["--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [python, "-m", "pip", "install", *options, "-r", peer.requirements, "-c", peer.constraints], check=True
    )
    peer.stamp.write_bytes(peer.pins)


def try_once(peer: Peer) -> None:
    """Start the peer for each workload that it serves and compare its answer with the graph's own.

    Raises RuntimeError where it doesn't start or answers something else.
    """
    for workload in peer.tuned:
        began = time.monotonic()
        with peer.running(workload) as target:
            seconds = time.monotonic() - began
            target.check(items(workload)[0])
        print(f"{peer.name}: {workload} answers, {seconds:.1f} s after it was started", flush=True)


def main() -> int:
    """How many peers failed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="name", help=", ".join(peer.name for peer in PEERS))
    names = arguments.parse_args().names
    if unknown := set(names) - {peer.name for peer in PEERS}:
        arguments.error(f"no such peer: {', '.join(sorted(unknown))}")
    failed = 0
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            install(peer)
            try_once(peer)
        except (subprocess.CalledProcessError, RuntimeError) as error:
            failed += 1
            print(f"{peer.name}: {error}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
