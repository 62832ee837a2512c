"""What the files of a text model say is what its answers are. The values are those of sentence-transformers 6.2."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer

from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.model_service.text_folders import (
    BERT,
    BERT_TOKENIZER,
    VOCABULARY,
    embed,
    load,
    mean,
    modules,
    pooling,
    sentence_model,
    tokenizer,
)
from tests.unit.model_service.texts import ask
from wire.errors import InvalidInput

SETTINGS, SENTENCE, TOKENIZER = (
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
)
PROMPTS = {"query": "query : ", "document": "the "}
ENDS = ("[CLS]", "[SEP]")


def between_ends(*words: str) -> np.ndarray[Any, Any]:
    return mean(ENDS[0], *words, ENDS[1])


def cut(direction: str) -> Tokenizer:
    made = tokenizer()
    made.enable_truncation(4, direction=direction)
    return made


@pytest.mark.parametrize(
    ("text", "words", "files"),
    [
        ("The River", "The River", {SENTENCE: {"do_lower_case": False}}),
        ("The River", "the river", {SENTENCE: {"do_lower_case": True}}),
        ("The River", "the river", {TOKENIZER: {**BERT_TOKENIZER, "do_lower_case": True}}),
        ("The River", "the river", {TOKENIZER: {"tokenizer_class": "BertTokenizerFast"}}),  # the class's own default
        ("The River", "the river", {TOKENIZER: {"do_lower_case": True}}),  # the model's kind tells the class
        ("The River", "The River", {TOKENIZER: {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}}),
        ("café", "café", {TOKENIZER: BERT_TOKENIZER}),
        ("café", "cafe", {TOKENIZER: {**BERT_TOKENIZER, "do_lower_case": True}}),
        ("café", "café", {TOKENIZER: {**BERT_TOKENIZER, "do_lower_case": True, "strip_accents": False}}),
        ("café", "cafe", {TOKENIZER: {**BERT_TOKENIZER, "strip_accents": True}}),
        ("水水", "水 水", {TOKENIZER: BERT_TOKENIZER}),
        ("水水", "[UNK]", {TOKENIZER: {**BERT_TOKENIZER, "tokenize_chinese_chars": False}}),
        ("a b c d e f", "a b", {SENTENCE: {"max_seq_length": 4}}),
        ("a b c d e f", "a b c", {TOKENIZER: {"model_max_length": 5}}),
        ("a b c d e f", "a b c", {TOKENIZER: {"max_len": 5}}),
        ("a b c d e f", "e f", {SENTENCE: {"max_seq_length": 4}, TOKENIZER: {"truncation_side": "left"}}),
        ("a b c d e f", "e f", {SENTENCE: {"max_seq_length": 9, "tokenizer_args": {"model_max_length": 4,
                                                                                    "truncation_side": "left"}}}),
        ("river", "query : river", {SETTINGS: {"prompts": PROMPTS, "default_prompt_name": "query"}}),
        ("river", "river", {SETTINGS: {"prompts": PROMPTS, "default_prompt_name": None}}),
        ("highriver", "high river", {TOKENIZER: {"additional_special_tokens": ["high"]}}),
        ("highriver", "high river", {TOKENIZER: {"extra_special_tokens": {"image_token": "high"}}}),
        ("highriver", "high river", {"special_tokens_map.json": {"additional_special_tokens": ["high"]}}),
        ("highriver", "high river", {"added_tokens.json": {"high": VOCABULARY["high"]}}),
        ("[MASK] river", "[MASK] river", {TOKENIZER: {"never_split": ["river"]}}),
    ],
)  # fmt: skip
def test_a_text_becomes_the_tokens_that_the_files_make_of_it(
    tmp_path: Path, text: str, words: str, files: dict[str, Any]
) -> None:
    (vector,) = embed(load(sentence_model(tmp_path, **files)), text)
    np.testing.assert_allclose(vector, between_ends(*words.split()), atol=1e-6)


def test_the_side_on_which_tokenizer_json_cuts_counts_unless_another_file_names_one(tmp_path: Path) -> None:
    long = {SENTENCE: {"max_seq_length": 4}}
    (vector,) = embed(load(sentence_model(tmp_path / "a", cut("left"), **long)), "a b c d e f")
    np.testing.assert_allclose(vector, between_ends("e", "f"), atol=1e-6)
    right = {TOKENIZER: {"truncation_side": "right"}}
    (vector,) = embed(load(sentence_model(tmp_path / "b", cut("left"), **long, **right)), "a b c d e f")
    np.testing.assert_allclose(vector, between_ends("a", "b"), atol=1e-6)


def test_a_long_text_that_is_cut_on_the_left_is_read_from_its_end(tmp_path: Path) -> None:
    folder = sentence_model(tmp_path, **{SENTENCE: {"max_seq_length": 5}, TOKENIZER: {"truncation_side": "left"}})
    for text in ("the river " * 100_000 + "a b c", "x" * 900_000 + " a b c", "the\n" * 100_000 + "a b c"):
        (vector,) = embed(load(folder), text)
        np.testing.assert_allclose(vector, between_ends("a", "b", "c"), atol=1e-6)


def test_a_token_that_two_files_describe_is_read_as_tokenizer_config_has_it(tmp_path: Path) -> None:
    words = tokenizer()
    words.add_tokens([AddedToken("high", single_word=True, normalized=False)])
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": False}
    decoder = {"added_tokens_decoder": {str(VOCABULARY["high"]): {"content": "high", **flags}}}
    (vector,) = embed(load(sentence_model(tmp_path / "a", words, **{TOKENIZER: decoder})), "highriver")
    np.testing.assert_allclose(vector, between_ends("high", "river"), atol=1e-6)
    wrong = {"added_tokens_decoder": {"999": {"content": "high", **flags}}}
    with pytest.raises(
        InvalidArtifact, match=f"the token 'high' the id 999, tokenizer.json gives it {VOCABULARY['high']}"
    ):
        import_model(sentence_model(tmp_path / "b", words, **{TOKENIZER: wrong}))


def test_a_prompt_is_asked_for_by_its_name(tmp_path: Path) -> None:
    loaded = load(sentence_model(tmp_path, **{SETTINGS: {"prompts": PROMPTS, "default_prompt_name": "query"}}))
    (vector,) = embed(loaded, "river", prompt_name="document")
    np.testing.assert_allclose(vector, between_ends("the", "river"), atol=1e-6)
    for name in ("nobody", 3):
        with pytest.raises(InvalidInput, match=r"no prompt .*; it has 'query', 'document'"):
            loaded.task.prepare(ask("river", prompt_name=name))


def test_query_and_document_are_known_to_every_model(tmp_path: Path) -> None:
    loaded = load(sentence_model(tmp_path))
    np.testing.assert_array_equal(embed(loaded, "river", prompt_name="query"), embed(loaded, "river"))
    with pytest.raises(InvalidInput, match="it has none"):
        loaded.task.prepare(ask("river", prompt_name="passage"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_prompt_may_be_left_out_of_the_pooling(tmp_path: Path, side: str) -> None:
    prompts = {SETTINGS: {"prompts": PROMPTS, "default_prompt_name": "query"}, TOKENIZER: {"padding_side": side}}
    files = {**prompts, SENTENCE: {"max_seq_length": 6}}
    loaded = load(
        sentence_model(tmp_path / "mean", **files, **{"1_Pooling/config.json": pooling(include_prompt=False)})
    )
    one, other = embed(loaded, "river", "a b c d e f")
    np.testing.assert_allclose(one, mean("river", "[SEP]"), atol=1e-6)
    np.testing.assert_allclose(other, mean("a", "b", "[SEP]"), atol=1e-6)
    first = {"pooling_mode": "cls", "embedding_dimension": 4, "include_prompt": False}
    loaded = load(sentence_model(tmp_path / "cls", **files, **{"1_Pooling/config.json": first}))
    np.testing.assert_allclose(embed(loaded, "river", "a b")[0], mean("river"), atol=1e-6)


def test_vectors_are_cut_as_the_folder_says_and_as_a_request_asks(tmp_path: Path) -> None:
    normal = {"modules.json": modules("Transformer", "Pooling", "Normalize")}
    whole = between_ends("river")
    whole /= np.linalg.norm(whole)
    folder = sentence_model(tmp_path / "a", **normal, **{SETTINGS: {"truncate_dim": 3}})
    assert import_model(folder).manifest.outputs[0].shape == (-1, 3)
    np.testing.assert_allclose(embed(load(folder), "river")[0], whole[:3], atol=1e-6)  # its length is below 1 then
    np.testing.assert_allclose(
        embed(load(folder), "river", dimensions=2)[0], whole[:2] / np.linalg.norm(whole[:2]), atol=1e-6
    )
    raw = load(sentence_model(tmp_path / "b"))
    np.testing.assert_allclose(embed(raw, "river", dimensions=2)[0], between_ends("river")[:2], atol=1e-6)
    for wrong in (0, 5, "2", True, 2.0):
        with pytest.raises(InvalidInput, match="'dimensions' must be an integer from 1 to 4"):
            raw.task.prepare(ask("river", dimensions=wrong))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("modules.json", [{"path": "", "type": "a.Transformer", "colour": 1}], "'colour'"),
        ("modules.json", [{"path": "", "type": "a.Transformer", "kwargs": ["task"]}], "'kwargs'"),
        ("modules.json", modules("Pooling", "Transformer"), "in this order"),
        ("modules.json", [{"path": "0_Transformer", "type": "a.Transformer"}], "in 0_Transformer"),
        (SENTENCE, {"max_seq_length": 8, "frobnicate": 1}, "sentence_bert_config.json: nobody .*'frobnicate'"),
        (SENTENCE, {"do_lower_case": "yes"}, "do_lower_case must be true or false"),
        (SENTENCE, {"query_length": 32}, "'query_length' is 32, which is not obeyed"),
        (SENTENCE, {"transformer_task": "fill-mask"}, "'transformer_task'"),
        (SENTENCE, {"processing_kwargs": {"text": {"max_length": 3}}}, "'processing_kwargs'"),
        (SENTENCE, {"processor_kwargs": {"split_special_tokens": True}}, "'split_special_tokens'"),
        (SETTINGS, {"model_type": "SparseEncoder"}, "'model_type' is 'SparseEncoder'"),
        (SETTINGS, {"prompts": ["query"]}, "prompts must map"),
        (SETTINGS, {"prompts": {"a": "b"}, "default_prompt_name": "c"}, "is 'c', the prompts are 'a'"),
        (SETTINGS, {"similarity_fn_name": "maxsim"}, "similarity_fn_name is 'maxsim'"),
        (SETTINGS, {"truncate_dim": 0}, "dimensions"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling by max_tokens"),
        ("1_Pooling/config.json", {"temperature": 1}, "1_Pooling/config.json: nobody here knows .*'temperature'"),
        ("1_Pooling/config.json", {"word_embedding_dimension": 9}, r"needs an output \[batch, tokens, 9\]"),
        (TOKENIZER, {"frobnicate": 1}, "tokenizer_config.json: nobody here knows .*'frobnicate'"),
        (TOKENIZER, {"split_special_tokens": True}, "'split_special_tokens'"),
        (TOKENIZER, {"tokenizer_class": "BertJapaneseTokenizer"}, "'tokenizer_class' is 'BertJapaneseTokenizer'"),
        (TOKENIZER, {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "'auto_map'"),
        (TOKENIZER, {"truncation_side": "both"}, "truncation_side must be"),
        (TOKENIZER, {"tokenizer_class": "BertTokenizer", "do_lower_case": 1}, "do_lower_case must be true or false"),
        (TOKENIZER, {"tokenizer_class": "AlbertTokenizer", "do_lower_case": True}, "do_lower_case true, but"),
        ("special_tokens_map.json", {"colour": "red"}, "special_tokens_map.json: nobody here knows .*'colour'"),
    ],
)  # fmt: skip
def test_what_is_not_obeyed_is_refused_by_its_name(tmp_path: Path, name: str, content: Any, words: str) -> None:
    with pytest.raises(InvalidArtifact, match=words):
        import_model(sentence_model(tmp_path, **{name: content}))


def test_what_changes_no_answer_is_taken(tmp_path: Path) -> None:
    files = {
        SETTINGS: {
            "__version__": {"pytorch": "2"},
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": None,
        },
        SENTENCE: {"max_seq_length": 64, "model_args": {"dtype": "float16"}, "unpad_inputs": True},
        TOKENIZER: {**BERT_TOKENIZER, "clean_up_tokenization_spaces": True, "name_or_path": "x", "chat_template": "y"},
        "config.json": {**BERT, "hidden_size": 4, "anything": {"else": 1}},
    }
    (vector,) = embed(load(sentence_model(tmp_path, **files)), "The River")
    np.testing.assert_allclose(vector, between_ends("The", "River"), atol=1e-6)
