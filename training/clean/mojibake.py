"""Text that was decoded with the wrong encoding on its way."""

import re
from typing import Final

import ftfy
from ftfy.badness import badness

from training.clean.verdict import Verdict

# What stands where the bytes are gone for good: U+FFFD, and U+FFFD written as UTF-8 and read as GBK.
_LOST: Final = re.compile("\ufffd|锟斤拷|锟斤|斤拷")


def repaired(text: str) -> str:
    """The text as it was meant, where that can be told."""
    fixed: str = ftfy.fix_encoding(text)
    return fixed


def unreadable(text: str) -> Verdict | None:
    """For text that is not what was meant: with how many signs of it."""
    signs = len(_LOST.findall(text)) or badness(text)
    return Verdict("mojibake", float(signs), f"{signs} signs of a wrong encoding") if signs else None
