"""Measures the claims about training, and fills in docs/claims.md: `python -m loadtests.claims [name ...]`."""

import argparse
import importlib
from pathlib import Path
from typing import Final

from loadtests.claims import results
from loadtests.claims.page import fill

CLAIMS: Final = ("memory", "quality", "speed", "cleaning")


def main() -> None:
    """Measure the claims that are named, or all of them; each one's result is written as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.claims", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(CLAIMS))
    parser.add_argument("--work", type=Path, default=Path(".headrace/training"), help="as of `headrace train`")
    options = parser.parse_args()
    if unknown := set(options.names) - set(CLAIMS):
        parser.error(f"no such claim: {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}")
    for name in CLAIMS:
        if not options.names or name in options.names:
            claim = importlib.import_module(f"loadtests.claims.{name}")  # each loads much, and needs it alone
            path = results.write(name, claim.measure(options.work, lambda line: print(line, flush=True)))
            results.PAGE.write_text(fill(results.PAGE.read_text(), results.read_all()))
            print(path, flush=True)


if __name__ == "__main__":
    main()
