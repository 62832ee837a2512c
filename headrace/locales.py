"""The locale that ONNX Runtime needs to lower or upper letters, where the machine has none by that name.

Graphs that normalise strings, as every text pipeline of scikit-learn does, name en_US.UTF-8. The runtime takes nothing
but letters from it, and C.UTF-8, which comes with the C library, has the same ones: a link stands in for it.
"""

import locale
import os
from pathlib import Path
from typing import Final

NAME: Final = "en_US.UTF-8"
_SAME_LETTERS: Final = (Path("/usr/lib/locale/C.utf8"), Path("/usr/lib/locale/C.UTF-8"))


def variables(folder: Path) -> dict[str, str]:
    """With these in its environment a program finds the locale; `folder` is made where the machine lacks it.

    Nothing where nothing can stand in: the worker says what is missing once a graph asks for it.
    """
    if is_there(NAME):
        return {}
    source = next((path for path in _SAME_LETTERS if path.is_dir()), None)
    if source is None:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / NAME
    link.unlink(missing_ok=True)
    link.symlink_to(source)
    others = os.environ.get("LOCPATH")
    return {"LOCPATH": f"{folder}:{others}" if others else str(folder)}


def is_there(name: str) -> bool:
    """Whether this machine has the locale."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
    return True
