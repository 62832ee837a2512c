"""The keys of tokenizer_config.json, and what transformers makes of them for a class of tokenizers."""

from typing import Any, Final

from storage.importers.keys import WRITTEN_BY, Key, Table, empty, harmless, obeyed, only

# Whose normalizer and pre-tokenizer are made anew from do_lower_case, strip_accents and tokenize_chinese_chars.
BERT_LIKE: Final = frozenset(
    f"{name}Tokenizer"
    for name in (
        "Bert", "DistilBert", "Electra", "Funnel", "LayoutLM", "LayoutLMv2", "Lxmert", "MobileBert", "MPNet",
        "Splinter", "SqueezeBert",
    )
)  # fmt: skip
# The kinds of models that come with one of these.
BERT_TYPES: Final = frozenset(name.removesuffix("Tokenizer").lower() for name in BERT_LIKE)
# Whose pre-tokenizer splits bytes, with add_prefix_space as the class has it unless the file says otherwise.
BYTE_LEVEL: Final = {
    f"{name}Tokenizer": name == "Blenderbot"
    for name in (
        "Bart", "Blenderbot", "Deberta", "GPT2", "GPTNeoX", "LED", "Longformer", "Luke", "Mvp", "Qwen2", "Roberta"
    )
}  # fmt: skip
# SentencePiece's, which mark where a word begins: the first as well where add_prefix_space says so.
METASPACE: Final = frozenset(("AlbertTokenizer", "CamembertTokenizer", "XLMRobertaTokenizer"))
# Whose normalizer lowers, and keeps accents, where the file says so or, where it says nothing, as the class has it.
LOWERING: Final = {
    "AlbertTokenizer": True,
    "DebertaV2Tokenizer": False,
    "FNetTokenizer": True,
    "RemBertTokenizer": False,
    "XLNetTokenizer": False,
}
KEEPS_ACCENTS: Final = {
    "AlbertTokenizer": False,
    "FNetTokenizer": False,
    "RemBertTokenizer": True,
    "XLNetTokenizer": False,
}
LEFT_PADDED: Final = frozenset(f"{name}Tokenizer" for name in ("CodeLlama", "Cohere", "Gemma", "Llama", "XLNet"))
# Whose texts are taken apart by Python code: what stands in a tokenizer.json is not what they do.
PYTHON: Final = frozenset(
    f"{name}Tokenizer"
    for name in (
        "BertGeneration", "BertJapanese", "Bertweet", "ByT5", "Canine", "CTRL", "Esm", "Flaubert", "GPTNeoXJapanese",
        "MyT5", "Perceiver", "Phobert", "ProphetNet", "RoCBert", "RoFormer", "Tapas", "XLM",
    )
)  # fmt: skip

_PATH: Final = harmless("where a file was when this one was written")
_SLOW: Final = harmless("it is for tokenizers in Python, which read no tokenizer.json")
_BACK: Final = harmless("for tokens that become text again")
_CHAT: Final = harmless("for conversations")
_RESULT: Final = harmless("how tokenizer.json was made of other files")
_LAYOUT: Final = harmless("for words with places on a page")
_UNREAD: Final = harmless("texts are always cut and padded to what the model and the batch take")
_LANGUAGE: Final = empty("no language's token is put before a text")

TOKENIZER_KEYS: Final[Table] = {
    "tokenizer_class": Key("it cuts texts otherwise than tokenizer.json", lambda name: strip_fast(name) not in PYTHON),
    "auto_map": empty("the tokenizer is code of its own, which is not run"),
    **dict.fromkeys(("model_max_length", "max_len"), obeyed("text.max_length")),
    "truncation_side": obeyed("text.truncation_side"),
    "padding_side": obeyed("text.padding_side"),
    "pad_token_type_id": obeyed("text.pad_type_id"),
    **dict.fromkeys(
        (
            "do_lower_case", "strip_accents", "tokenize_chinese_chars", "add_prefix_space", "keep_accents",
            "clean_text", "added_tokens_decoder", "additional_special_tokens", "extra_special_tokens",
            "model_specific_special_tokens",
        ),
        obeyed("text.tokenizer_sections"),
    ),
    "split_special_tokens": empty("special tokens in a text are read as such"),
    "add_special_tokens": only(True, None, why="what tokenizer.json puts around a text is always put there"),
    "split_by_punct": empty("words are split as tokenizer.json has it"),
    "remove_space": only(True, None, why="blanks are made one, as tokenizer.json has it"),
    "wordpieces_prefix": only("##", why="what stands in tokenizer.json counts"),
    "model_input_names": harmless("the graph's own inputs count"),
    "trim_offsets": harmless("blanks around a word are left out of an entity in any case"),
    **dict.fromkeys(
        ("max_length", "stride", "truncation", "truncation_strategy", "padding", "pad_to_multiple_of"), _UNREAD
    ),
    **dict.fromkeys(("add_bos_token", "add_eos_token"), harmless("tokenizer.json's own post_processor counts")),
    **dict.fromkeys(("clean_up_tokenization_spaces", "errors", "spaces_between_special_tokens"), _BACK),
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": _BACK,
    **dict.fromkeys(("chat_template", "use_default_system_prompt", "response_schema", "response_template"), _CHAT),
    **dict.fromkeys(
        (
            "do_basic_tokenize", "never_split", "sp_model_kwargs", "normalization", "do_word_tokenize",
            "do_subword_tokenize",
        ),
        _SLOW,
    ),
    **dict.fromkeys(
        (
            "legacy", "from_slow", "extra_ids", "offset", "unk_id", "vocab_type", "vocab_size",
            "add_dummy_prefix_space",
            "mask_token_sent", "backend", "use_fast", "is_fast", "slow_tokenizer_class", "init_inputs",
            "fix_mistral_regex",
        ),
        _RESULT,
    ),
    **dict.fromkeys(
        (
            "name_or_path", "tokenizer_file", "special_tokens_map_file", "full_tokenizer_file", "vocab_file",
            "merges_file", "is_local", "local_files_only", "cache_dir", "token", "revision", "_commit_hash",
            "trust_remote_code", "tokenizer_type",
        ),
        _PATH,
    ),
    **dict.fromkeys(
        ("cls_token_box", "sep_token_box", "pad_token_box", "pad_token_label", "only_label_first_subword"), _LAYOUT
    ),
    **dict.fromkeys(("src_lang", "tgt_lang", "language", "task"), _LANGUAGE),
    **dict.fromkeys(("processor_class", "model_type", "device", "verbose"), harmless("it is about other classes")),
    **dict.fromkeys(("transformers_version", "tokenizers_version", "__version__"), WRITTEN_BY),
}  # fmt: skip


def strip_fast(name: Any) -> str:
    """The name of a tokenizer's class without what says that it is a fast one."""
    return str(name).removesuffix("Fast")
