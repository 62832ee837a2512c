"""What transformers makes of a folder's tokenizer.json, tokenizer_config.json and special_tokens_map.json together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.keys import check_keys, harmless
from storage.importers.tokenizer_keys import (
    BERT_LIKE,
    BERT_TYPES,
    BYTE_LEVEL,
    KEEPS_ACCENTS,
    LEFT_PADDED,
    LOWERING,
    METASPACE,
    TOKENIZER_KEYS,
    strip_fast,
)

CONFIG: Final = "tokenizer_config.json"
SPECIAL: Final = "special_tokens_map.json"
ADDED: Final = "added_tokens.json"
_EXTRA: Final = ("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens")
_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReadTokenizer:
    """`text` are fields of the manifest's section; `max_length` what the files say of a text's length, if anything."""

    text: Json
    max_length: Any


def read_tokenizer(
    folder: Folder, path: str, config: Mapping[str, Any], over: Mapping[str, Any], *, lowercase: bool
) -> ReadTokenizer:
    """`config` is config.json, `over` what takes the place of keys of tokenizer_config.json.

    Raises InvalidArtifact where a file says what is not obeyed here.
    """
    document, told = folder.json_object(path), _read_config(folder, over)
    try:
        return _read(folder, document, told, config, lowercase)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidArtifact(f"{path} and {CONFIG} are not as transformers writes them: {error!r}") from error


def _read(folder: Folder, document: Json, told: Json, config: Mapping[str, Any], lowercase: bool) -> ReadTokenizer:
    tokenizer_class = strip_fast(told.get("tokenizer_class") or config.get("tokenizer_class") or "")
    normalizer, pre_tokenizer = document.get("normalizer"), document.get("pre_tokenizer")
    told_as_bert = config.get("model_type") in BERT_TYPES and bool(told.keys() & _BERT_KEYS)
    if tokenizer_class in BERT_LIKE or (not tokenizer_class and told_as_bert):
        normalizer, pre_tokenizer = _bert_normalizer(told), {"type": "BertPreTokenizer"}
    _check_normalizer(tokenizer_class, told, normalizer)
    if lowercase and "Lowercase" not in _top_types(normalizer):
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *_top(normalizer)]}
    pre_tokenizer = _with_prefix_space(tokenizer_class, told, pre_tokenizer)
    wanted = {
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "added_tokens": _list_added_tokens(folder, told, document),
    }
    sections = {name: section for name, section in wanted.items() if section != (document.get(name) or _NONE[name])}
    text: Json = {"tokenizer_sections": sections} if sections else {}
    text |= _sides(told, document, tokenizer_class)
    length = told.get("model_max_length", told.get("max_len"))
    return ReadTokenizer(text, length)


_BERT_KEYS: Final = frozenset(("do_lower_case", "strip_accents", "tokenize_chinese_chars"))
_NONE: Final[Json] = {"normalizer": None, "pre_tokenizer": None, "added_tokens": []}


def _read_config(folder: Folder, over: Mapping[str, Any]) -> Json:
    """The keys of tokenizer_config.json, with the special tokens that another file names instead."""
    told = {**folder.json_object(CONFIG), **over}
    tokens = {key: value for key, value in told.items() if key.endswith("_token")}
    check_keys(CONFIG, told, {**TOKENIZER_KEYS, **dict.fromkeys(tokens, harmless("a special token"))})
    if "added_tokens_decoder" not in told:
        special = folder.json_object(SPECIAL)
        named = {key: value for key, value in special.items() if key.endswith("_token") or key in _EXTRA}
        check_keys(SPECIAL, special, dict.fromkeys(named, harmless("a special token")))
        told |= named
    return told


def _sides(told: Json, document: Json, tokenizer_class: str) -> Json:
    truncation, padding = document.get("truncation") or {}, document.get("padding") or {}
    text: Json = {}
    for key, section, default in (
        ("truncation_side", truncation, "right"),
        ("padding_side", padding, "left" if tokenizer_class in LEFT_PADDED else "right"),
    ):
        side = told.get(key) or str(section.get("direction", default)).lower()
        if side not in ("left", "right"):
            raise InvalidArtifact(f"{CONFIG}: {key} must be 'left' or 'right', it is {side!r:.40}")
        text[key] = side
    token = _content(told.get("pad_token")) or padding.get("pad_token")
    if token is not None and (pad_id := _ids(document).get(token)) is not None:
        text["pad_id"] = pad_id
    if type_id := told.get("pad_token_type_id") or padding.get("pad_type_id"):
        text["pad_type_id"] = type_id
    return text


def _bert_normalizer(told: Json) -> Json:
    return {
        "type": "BertNormalizer",
        "clean_text": _flag(told, "clean_text", True),
        "handle_chinese_chars": _flag(told, "tokenize_chinese_chars", True),
        "strip_accents": told.get("strip_accents"),
        "lowercase": _flag(told, "do_lower_case", True),
    }


def _check_normalizer(tokenizer_class: str, told: Json, normalizer: Any) -> None:
    """Raises InvalidArtifact where the class would lower texts or take accents away, and tokenizer.json doesn't."""
    types = set(_types(normalizer))
    if (lowers := LOWERING.get(tokenizer_class)) is not None:
        _check_agreed("do_lower_case", _flag(told, "do_lower_case", lowers), "Lowercase" in types)
    if (keeps := KEEPS_ACCENTS.get(tokenizer_class)) is not None:
        _check_agreed("keep_accents", _flag(told, "keep_accents", keeps), "StripAccents" not in types)


def _check_agreed(key: str, wanted: bool, done: bool) -> None:
    if wanted is not done:
        raise InvalidArtifact(
            f"{CONFIG} has, or its class means, {key} {str(wanted).lower()}, but the normalizer in tokenizer.json does"
            " otherwise: save the tokenizer anew with transformers"
        )


def _with_prefix_space(tokenizer_class: str, told: Json, pre_tokenizer: Any) -> Any:
    """The pre-tokenizer with add_prefix_space as the class has it."""
    wanted = told.get("add_prefix_space")
    if wanted is None:
        wanted = BYTE_LEVEL.get(tokenizer_class)
    if wanted is None or tokenizer_class not in BYTE_LEVEL.keys() | METASPACE:
        return pre_tokenizer
    if not isinstance(wanted, bool):
        raise InvalidArtifact(f"{CONFIG}: add_prefix_space must be true or false, it is {wanted!r:.40}")

    def change(node: Json) -> Json:
        match node.get("type"):
            case "Sequence":
                return {**node, "pretokenizers": [change(part) for part in node["pretokenizers"]]}
            case "ByteLevel":
                return {**node, "add_prefix_space": wanted}
            case "Metaspace" if (node.get("prepend_scheme") != "never") != wanted:
                return {**node, "prepend_scheme": "always" if wanted else "never"}
        return node

    return None if pre_tokenizer is None else change(pre_tokenizer)


def _list_added_tokens(folder: Folder, told: Json, document: Json) -> list[Json]:
    """tokenizer.json's, with those that the other files name: each found in a text before the text is taken apart."""
    added: dict[str, Json] = {token["content"]: token for token in document.get("added_tokens") or []}
    ids, decoder = _ids(document), told.get("added_tokens_decoder")
    if decoder is None:
        numbered: Json = {str(id_): {"content": content} for content, id_ in folder.json_object(ADDED).items()}
    else:
        numbered = decoder
    for number, token in numbered.items():
        content = _content(token)
        if content is None or not isinstance(token, dict) or not number.isdecimal():
            raise InvalidArtifact(f"{CONFIG}: added_tokens_decoder must map ids to tokens, {number!r:.40} does not")
        if ids.setdefault(content, int(number)) != int(number):
            raise InvalidArtifact(
                f"{CONFIG if decoder is not None else ADDED} gives the token {content!r:.40} the id {number},"
                f" tokenizer.json gives it {ids[content]}"
            )
        if decoder is not None or content not in added:
            added[content] = _token(
                ids[content], content, {"special": False, "normalized": not token.get("special"), **token}
            )
    for token in _list_special_tokens(told):
        content = _content(token)
        # What has no id yet, no graph has a vector for.
        if content is not None and content not in added and content in ids:
            added[content] = _token(ids[content], content, token if isinstance(token, dict) else {})
    return sorted(added.values(), key=lambda token: int(token["id"]))


def _token(id_: int, content: str, token: Mapping[str, Any]) -> Json:
    flags = {"special": True, **{flag: token[flag] for flag in _FLAGS if flag in token}}
    return {"id": id_, "content": content, **dict.fromkeys(_FLAGS, False), **flags}


def _list_special_tokens(told: Json) -> Iterator[Any]:
    for key, value in told.items():
        if key in _EXTRA:
            yield from value.values() if isinstance(value, dict) else value or ()
        elif key.endswith("_token"):
            yield value


def _content(token: Any) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _ids(document: Json) -> dict[str, int]:
    vocabulary = (document.get("model") or {}).get("vocab") or {}
    if not isinstance(vocabulary, dict):  # Unigram's, of tokens and scores
        vocabulary = {token[0]: index for index, token in enumerate(vocabulary)}
    return {**vocabulary, **{token["content"]: token["id"] for token in document.get("added_tokens") or []}}


def _top(normalizer: Any) -> list[Json]:
    if normalizer is None:
        return []
    return list(normalizer["normalizers"]) if normalizer["type"] == "Sequence" else [normalizer]


def _top_types(normalizer: Any) -> list[str]:
    return [part["type"] for part in _top(normalizer)]


def _types(node: Any) -> Iterator[str]:
    """The types of a normalizer and of all that it is made of."""
    for part in _top(node):
        yield part["type"]
        if part["type"] == "Sequence":
            yield from _types(part)


def _flag(told: Json, key: str, default: bool) -> bool:
    value = told.get(key, default)
    if not isinstance(value, bool):
        raise InvalidArtifact(f"{CONFIG}: {key} must be true or false, it is {value!r:.40}")
    return value
