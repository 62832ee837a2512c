"""What functions of numpy, scipy and scikit-learn do: at length, and in the line that every docstring begins with."""

import importlib
import inspect
import random
import re
from typing import Final

from training.templates.files import Rows

_MODULES: Final = (
    "numpy", "scipy.linalg", "scipy.ndimage", "scipy.signal", "scipy.special", "scipy.stats", "sklearn.metrics",
)  # fmt: skip
_REST: Final = re.compile(r"\n\.\. |\n\w[\w ]*\n-{3,}")  # a remark about versions, or the parameters with their heading
_SIGNATURE: Final = re.compile(r"\w+\(.*\)( -> .*)?")
_SHORT: Final = 12  # words, of which there is nothing to leave out


def summarised(count: int) -> Rows:
    """What a function does, and the summary that its authors gave it."""
    found: dict[str, str] = {}
    for module in map(importlib.import_module, _MODULES):
        for name in sorted(module.__all__):
            summary, text = _parts(inspect.getdoc(getattr(module, name)) or "")
            if len(text.split()) >= _SHORT:
                found.setdefault(summary, text)
    rows = [{"source": text, "target": summary} for summary, text in found.items()]
    return random.Random(7).sample(rows, len(rows))[:count]


def _parts(docstring: str) -> tuple[str, str]:
    """The first paragraph and what follows on it, without signatures and all that has a heading."""
    paragraphs = (" ".join(one.split()) for one in _REST.split(docstring)[0].split("\n\n"))
    summary, *more = [one for one in paragraphs if one and not _SIGNATURE.fullmatch(one)] or [""]
    return summary, " ".join(more)
