"""Text that was decoded with the wrong encoding on its way."""

import re
from typing import Final

import ftfy
from ftfy.badness import badness

from training.clean.verdict import Verdict

# What stands where the bytes are gone for good: U+FFFD, and U+FFFD written as UTF-8 and read as GBK.
_LOST: Final = re.compile("\ufffd|锟斤拷|锟斤|斤拷")


def repair(text: str) -> str:
    """The text with its wrong decoding undone, where that is certain; else as it is."""
    fixed: str = ftfy.fix_encoding(text)
    return fixed


def find_unreadable(text: str) -> Verdict | None:
    """The verdict on text that was decoded wrongly, with the number of signs of it; None for sound text."""
    signs = len(_LOST.findall(text)) or badness(text)
    return Verdict("mojibake", float(signs), f"{signs} signs of a wrong encoding") if signs else None
