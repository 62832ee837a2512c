"""Figures for texts that a model wrote: BLEU and chrF by sacrebleu, ROUGE by rouge-score."""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import version
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

ROUGES: Final = ("rouge1", "rouge2", "rougeL")
_SACRE: Final = ("bleu", "chrf")
# Chinese, Japanese and Korean write no spaces between words, which is where both libraries would look for them.
_IDEOGRAPHS: Final = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA: Final = re.compile(r"[\u3040-\u30ff]")
_UNSPACED: Final = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_WORD: Final = re.compile(r"\w+", re.UNICODE)


def measure_texts(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF of the corpus, and ROUGE's F1 as the mean over the texts: all from 0 to 100."""
    tokenizer = tokenizer_of(references)
    counted = [_count(*pair, tokenizer) for pair in zip(hypotheses, references, strict=True)]
    bleu, chrf = (np.sum(counts, axis=0) for counts in ([one.bleu for one in counted], [one.chrf for one in counted]))
    return {
        "bleu": float(_metric("bleu", tokenizer)._compute_score_from_stats(bleu.tolist()).score),
        "chrf": float(_metric("chrf", tokenizer)._compute_score_from_stats(chrf.tolist()).score),
        **{name: 100 * fmean(one.rouge[name] for one in counted) for name in ROUGES},
    }


class _Counted(NamedTuple):
    bleu: tuple[int, ...]
    chrf: tuple[int, ...]
    rouge: Mapping[str, float]


@lru_cache(maxsize=1 << 16)
def _count(hypothesis: str, reference: str, tokenizer: str) -> _Counted:
    """What one text adds to the corpus: counted once, however many resamples it is drawn into."""
    bleu, chrf = (_metric(name, tokenizer)._extract_corpus_statistics([hypothesis], [[reference]]) for name in _SACRE)
    scores = RougeScorer(ROUGES, tokenizer=_Words()).score(reference, hypothesis)
    return _Counted(tuple(bleu[0]), tuple(chrf[0]), {name: scores[name].fmeasure for name in ROUGES})


@cache
def _metric(name: str, tokenizer: str) -> Any:
    return BLEU(tokenize=tokenizer) if name == "bleu" else CHRF()


def signatures(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, str]:
    """What makes the figures comparable with those of others: how texts were cut and counted, by which version."""
    found = {}
    for name in _SACRE:
        metric = _metric(name, tokenizer_of(references))
        metric.corpus_score(list(hypotheses), [list(references)])  # a signature has the number of references
        found[name] = str(metric.get_signature())
    cut = "characters of Chinese and Japanese, words of the rest" if tokenizer_of(references) != "13a" else "words"
    rouge = (
        f"{'+'.join(ROUGES)}|f1|mean|tok:{cut}, lower case, no stemming|version:rouge-score {version('rouge-score')}"
    )
    return {**found, "rouge": rouge}


def tokenizer_of(texts: Sequence[str]) -> str:
    """sacrebleu's tokenizer for the language that these are in: `zh` for Chinese, characters for Japanese, else 13a."""
    text = "".join(texts)
    letters = len(re.findall(r"\w", text)) or 1
    if len(_KANA.findall(text)) / letters > 0.1:
        return "char"
    return "zh" if len(_IDEOGRAPHS.findall(text)) / letters > 0.3 else "13a"


class _Words:
    """Words in lower case, and each character of its own where a language writes no spaces.

    rouge-score's own tokenizer drops all that is not ASCII: every Chinese text would score 0.
    """

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(_UNSPACED.sub(r" \1 ", text.lower()))
