"""The second stage: a classifier on a BERT says how good a text is, as a small sample taught it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from transformers import AutoModel, AutoTokenizer

from training.clean.sample import FEWEST, read_sample
from training.clean.verdict import Verdict
from training.recipe.clean import Semantic
from training.tasks.source import pin_source


class Quality:
    """A frozen BERT, the mean over whose last layer's tokens is the input of a logistic regression.

    `counts` tells how well it does on the sample's rows, each scored by a head that was not trained on it.
    """

    def __init__(self, block: Semantic, beside: Path, seed: int) -> None:
        texts, marks = read_sample(beside / block.sample)
        self._block = block
        source, pin = pin_source(block.model, block.revision, beside)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(source, **pin)
        self._bert: Any = AutoModel.from_pretrained(source, **pin).eval().to(_device())
        self._head: Any = LogisticRegression(class_weight="balanced", max_iter=1000, random_state=seed)
        inputs, wanted = self._embed(texts), np.array(marks)
        folds = StratifiedKFold(FEWEST, shuffle=True, random_state=seed)
        unseen = cross_val_predict(self._head, inputs, wanted, cv=folds, method="predict_proba")[:, 1]
        self._head.fit(inputs, wanted)
        self.counts: dict[str, int | float] = {
            "sample_rows": len(texts),
            "sample_good": int(wanted.sum()),
            "accuracy": round(float(((unseen >= 0.5) == wanted).mean()), 4),
            "roc_auc": round(float(roc_auc_score(wanted, unseen)), 4),
        }

    def scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The probability of each text to be a good one."""
        scores: NDArray[np.float64] = self._head.predict_proba(self._embed(texts))[:, 1]
        return scores

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[len(texts), hidden size]"""
        found = np.empty((len(texts), self._bert.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # so that little is padded
        for at in range(0, len(order), self._block.batch_size):
            picked = order[at : at + self._block.batch_size]
            batch = self._tokenizer(
                [texts[index] for index in picked],
                padding=True,
                truncation=True,
                max_length=self._block.max_length,
                return_tensors="pt",
            ).to(self._bert.device)
            with torch.inference_mode():
                tokens = self._bert(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            found[picked] = ((tokens * mask).sum(1) / mask.sum(1)).cpu().numpy()
        return found


def judge(
    texts: Sequence[str], block: Semantic, beside: Path, seed: int
) -> tuple[dict[int, Verdict], dict[str, int | float]]:
    """Those that are not good enough, by their place among the texts; and how far the judge is to be trusted."""
    quality = Quality(block, beside, seed)
    verdicts = {
        at: Verdict("low-quality", round(float(score), 4), f"below {block.threshold}")
        for at, score in enumerate(quality.scores(texts))
        if score < block.threshold
    }
    return verdicts, quality.counts


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
