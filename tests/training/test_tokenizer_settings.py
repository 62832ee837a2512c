"""A folder's tokenizer becomes, in a worker, what transformers makes of the same files: each key set, one by one."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from model_service.tasks.tokenizer import TextTokenizer
from storage.importers.folder import Folder
from storage.importers.tokenizer import read_tokenizer
from storage.manifest import TextSettings

CORPUS = ["the river is high water in Berlin paris The River CAFÉ café naïve naive é", "of the houses 水東 don't"] * 3
TEXTS = (
    "The River is high",
    " leading blank",
    "café CAFÉ naïve é \u0301",
    "",
    "[CLS] the [MASK] <s> river </s>",
    "two  blanks \n\t x ",
    "😀 水東 \u200d\u00a0river",
    "the " * 40,
    "thehighriver",
)
BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BERT_NAMES = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ROBERTA_NAMES = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}


@cache
def word_pieces(*, lower: bool = False) -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=160, special_tokens=list(BERT)))
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return made


@cache
def byte_pairs(*, blank: bool = False) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=blank)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=list(ROBERTA), initial_alphabet=alphabet)
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=blank)
    return made


@cache
def unigrams() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    made.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=list(ROBERTA), unk_token="<unk>")
    )
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return made


def cut_left() -> Tokenizer:
    made = Tokenizer.from_str(word_pieces().to_str())
    made.enable_truncation(8, direction="left")
    made.enable_padding(direction="left", pad_id=0, pad_token="[PAD]", pad_to_multiple_of=8)
    return made


def flags(content: str, **more: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"content": content, **plain, **more}


def folders() -> Iterator[tuple[Tokenizer, dict[str, Any], str]]:
    keys: list[dict[str, Any]] = [
        {},
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False},
        {"truncation_side": "left"},
        {"padding_side": "left"},
        {"pad_token": "[MASK]"},
        {"model_max_length": 7},
        {"additional_special_tokens": ["high"]},
        {"extra_special_tokens": {"image_token": "high"}},
        {"mask_token": {"__type": "AddedToken", **flags("[MASK]", lstrip=True)}},
        {"added_tokens_decoder": {"4": flags("[MASK]", rstrip=True, special=True)}},
        {"added_tokens_decoder": {"160": flags("river", normalized=True)}},
        {"model_specific_special_tokens": {"image_token": "high"}},
        {"never_split": ["river"], "do_basic_tokenize": True, "clean_up_tokenization_spaces": True},
        {"model_input_names": ["input_ids", "attention_mask"]},
        {"add_bos_token": True, "add_eos_token": True},
    ]
    for name in ("Bert", "DistilBert", "Electra", "MobileBert", "PreTrainedTokenizerFast", "TokenizersBackend"):
        class_ = name if name.startswith(("Pre", "Tok")) else f"{name}Tokenizer"
        for told in keys if name in ("Bert", "PreTrainedTokenizerFast") else keys[:6]:
            if "160" not in told.get("added_tokens_decoder", {}) or name == "Bert":
                for lower in (True, False):
                    yield word_pieces(lower=lower), {"tokenizer_class": class_, **BERT_NAMES, **told}, "bert"
    yield cut_left(), {"tokenizer_class": "BertTokenizer", **BERT_NAMES}, "bert"
    yield cut_left(), {"tokenizer_class": "BertTokenizer", **BERT_NAMES, "padding_side": "right"}, "bert"
    yield cut_left(), {"tokenizer_class": "BertTokenizer", **BERT_NAMES, "truncation_side": "right"}, "bert"
    for class_ in ("RobertaTokenizer", "GPT2Tokenizer", "BartTokenizer", "PreTrainedTokenizerFast"):
        for told in ({}, {"add_prefix_space": True}, {"add_prefix_space": False}):
            for blank in (True, False):
                yield byte_pairs(blank=blank), {"tokenizer_class": class_, **ROBERTA_NAMES, **told}, "roberta"
    for told in ({}, {"add_prefix_space": True}, {"add_prefix_space": False}, {"do_lower_case": True}):
        yield unigrams(), {"tokenizer_class": "XLMRobertaTokenizer", **ROBERTA_NAMES, **told}, "xlm-roberta"


def test_ids_padding_and_cuts_are_those_of_transformers(tmp_path: Path) -> None:
    wrong: list[Any] = []
    for number, (made, told, kind) in enumerate(folders()):
        folder = tmp_path / str(number)
        folder.mkdir()
        if "160" in told.get("added_tokens_decoder", {}):  # the id of a word that has one already
            (token,) = told["added_tokens_decoder"].values()
            told = {**told, "added_tokens_decoder": {str(made.token_to_id("river") or made.get_vocab_size()): token}}
        made.save(str(folder / "tokenizer.json"))
        (folder / "tokenizer_config.json").write_text(json.dumps(told))
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        theirs = AutoTokenizer.from_pretrained(str(folder))
        read = read_tokenizer(Folder.at(folder), "tokenizer.json", {"model_type": kind}, {}, lowercase=False)
        length = min(read.max_length or 12, 12)
        ours = TextTokenizer(folder, TextSettings.model_validate({**read.text, "max_length": length}))
        expected = theirs(list(TEXTS), truncation=True, max_length=length)["input_ids"]
        if [encoding.ids for encoding in ours.encode(TEXTS, "text")] != expected:
            wrong.append((told, kind))
        padding = ("left" if ours.padding.left else "right", ours.padding.id, ours.padding.type_id)
        if padding != (theirs.padding_side, theirs.pad_token_id, theirs.pad_token_type_id):
            wrong.append((told, padding))
    assert not wrong
