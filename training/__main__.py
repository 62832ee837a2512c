"""`python -m training digits --out DIR`: make a demo model's artifact."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from storage.manifest import Manifest

_INSTALL: Final = {
    "digits": "install 'headrace[worker,demo]'",
    "minilm": "install 'headrace[worker,demo]'",
    "sentiment": "it takes torch, in an environment of its own: `make sentiment` makes both",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and say what came of it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training", description="Make a demo model's artifact.")
    parser.add_argument("model", choices=("digits", "minilm", "sentiment"))
    parser.add_argument("--out", type=Path, required=True, help="the folder to write it into")
    options = parser.parse_args(arguments)
    try:
        manifest = _build(options.model, options.out)
    except ModuleNotFoundError as error:
        print(f"{options.model}: {error}: {_INSTALL[options.model]}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        print(f"{options.model}: {error}", file=sys.stderr)
        return 1
    metrics = "".join(f", {name} {value:.4g}" for name, value in manifest.metrics.items())
    print(f"{manifest.name}: {options.out}, digest {manifest.digest[:12]}{metrics}")
    return 0


def _build(model: str, folder: Path) -> Manifest:
    # Imported only where asked for: what one model is made with, another does without.
    match model:
        case "digits":
            from training.demo.digits import build
        case "sentiment":
            from training.demo.sentiment import build
        case _:
            from training.demo.minilm import build
    return build(folder)


if __name__ == "__main__":
    sys.exit(main())
