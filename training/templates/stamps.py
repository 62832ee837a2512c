"""Tux Paint's pictures of animals, food, things: for each a line about it, and the same in many languages."""

import random
import re
from pathlib import Path
from typing import NamedTuple

from training.templates.debian import package
from training.templates.files import Rows


class Stamp(NamedTuple):
    """A picture, and what it shows: in English, and by the name of a language in others."""

    picture: Path
    text: str
    translations: dict[str, str]


def stamps() -> list[Stamp]:
    """All that say what they show."""
    folder = (
        package("tuxpaint-stamps-default", "*.png", "*.txt", "*_desc.ogg") / "usr" / "share" / "tuxpaint" / "stamps"
    )
    found = []
    for picture in sorted(folder.rglob("*.png")):
        text = picture.with_suffix(".txt")
        if text.is_file() and (lines := text.read_text(encoding="utf-8", errors="replace").splitlines())[0].strip():
            said = (re.match(r"(\w+)\.utf8=(.*\S)", line) for line in lines[1:])
            found.append(Stamp(picture, lines[0].strip(), {one[1]: one[2] for one in said if one}))
    return found


def in_french(count: int) -> Rows:
    """What pictures show, in English and in French, each text once."""
    found = {stamp.text: stamp.translations["fr"] for stamp in stamps() if "fr" in stamp.translations}
    rows = [{"source": text, "target": translation} for text, translation in found.items()]
    return random.Random(7).sample(rows, len(rows))[:count]
