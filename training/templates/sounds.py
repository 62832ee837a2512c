"""Small real recordings: what Asterisk, a telephone exchange, says."""

import gzip
import random
import re
from pathlib import Path

from training.templates.debian import package
from training.templates.files import Rows

SHORT = 2 * 2 * 8000  # two seconds, in bytes


def languages(count: int) -> Rows:
    """What a telephone exchange says, in English and in French, by one speaker each."""
    rows = []
    for language in ("en", "fr"):
        files = sorted(_prompts(language).rglob("*.wav"))
        some = random.Random(7).sample(files, min(len(files), count // 2))
        rows += [{"audio": file.read_bytes(), "label": language} for file in some]
    return rows


def spoken(count: int) -> Rows:
    """What it says in English within two seconds, in small letters."""
    (texts,) = package("asterisk-core-sounds-en").rglob("core-sounds-en.txt.gz")
    (folder,) = {path.parent for path in _prompts("en").rglob("agent-pass.wav")}
    lines = gzip.decompress(texts.read_bytes()).decode()
    rows: Rows = []
    for name, said in re.findall(r"^([^;:\n]+):\s*(.+)$", lines, re.MULTILINE):
        file = folder / f"{name}.wav"
        # Figures are not spelled out, nor are noises.
        if (
            file.is_file()
            and not re.search(r"[\[0-9]", said)
            and (text := re.sub(r"[^a-z' ]", " ", said.lower()).strip())
        ):
            rows.append({"audio": file.read_bytes(), "text": " ".join(text.split())})
    short = [row for row in rows if len(row["audio"]) < SHORT]
    return random.Random(7).sample(short, len(short))[:count]


def _prompts(language: str) -> Path:
    return package(f"asterisk-core-sounds-{language}-wav")
