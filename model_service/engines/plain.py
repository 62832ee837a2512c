"""Error messages without the server's paths, as they go to clients."""

import re
from pathlib import Path
from typing import Final

# Where in the runtime's own source an error was raised, in which function and by which check; and its kind's number.
_SOURCE: Final = re.compile(r"/onnxruntime_src/\S+:\d+ (?:[^\n]{0,600}? was false\. )?")
_KIND: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")


def clean_message(text: str, *folders: Path) -> str:
    """`text` with the files in `folders`, the inner ones first, named as the artifact names them."""
    for folder in folders:
        for place in sorted({str(folder.absolute()), str(folder.resolve())}, key=len, reverse=True):
            text = text.replace(f"{place}/", "").replace(place, "the artifact's folder")
    return _KIND.sub("", _SOURCE.sub("", text)).strip()
