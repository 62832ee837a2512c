from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tokenizers import Encoding, Tokenizer

from model_service.engines.base import Array, EngineError
from model_service.tasks.base import Answer, Task
from model_service.tasks.open import open_task
from model_service.tasks.tokenizer import TextTokenizer
from tests.unit.model_service.graphs import TOKENS, save_graph
from tests.unit.model_service.texts import Loaded, ask, copy_tokenizer, text_manifest
from training.demo import minilm as package
from wire.errors import InvalidInput
from wire.messages import InferRequest
from wire.tensors import Tensor, bytes_tensor

SENTENCES = (
    "Hi",
    "",
    "The cat sits on the mat.",
    "Interest rates rose by a quarter of a point on Thursday, as had been expected for weeks.",
    "naïve café, 東京, 😀",
    "a much longer sentence about nothing in particular, which goes on " * 5,
    "unbelievably",
    "Short again",
)


def short_task(loaded: Loaded, max_length: int) -> tuple[Task, Tokenizer]:
    """minilm's task, but of that length, and a tokenizer that reads to the end."""
    about = loaded.manifest
    assert about.text is not None
    text = about.text.model_copy(update={"max_length": max_length})
    tokenizer = Tokenizer.from_file(str(loaded.folder / text.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return open_task(about.model_copy(update={"text": text}), loaded.folder, loaded.engine), tokenizer


VECTOR = ("embedding", "FP32", [-1, 3])


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("minilm")
    return Loaded(package.build(folder), folder)


def vectors(answer: Answer) -> Array:
    (tensor,) = answer.outputs
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)


def cosine(loaded: Loaded, one: str, other: str) -> float:
    a, b = vectors(loaded.answer(ask(one, other)))
    return float(a @ b)


def save_states(folder: Path, outputs: list[tuple[str, int]]) -> None:
    """A graph that gives the token ids as vectors of three, and the first of them: `[n, s, 3]` and `[n, 3]`."""
    copy_tokenizer(folder)
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids", "last"], ["wide"]),
        helper.make_node("Mul", ["wide", "factors"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["first"], axis=1),
        *(helper.make_node("Identity", ["all" if rank == 3 else "first"], [name]) for name, rank in outputs),
    ]
    constants = {"last": np.array([2]), "zero": np.array(0), "factors": np.array([1, 2, 3], np.float32)}
    shapes: dict[int, list[int | str]] = {3: ["n", "s", 3], 2: ["n", 3]}
    ports = [(name, TensorProto.FLOAT, shapes[rank]) for name, rank in outputs]
    save_graph(folder / "model.onnx", nodes, TOKENS, ports, constants)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_a_vector_is_bit_equal_alone_and_among_longer_and_shorter_neighbours(minilm: Loaded, size: int) -> None:
    alone = [minilm.batch(minilm.task.prepare(ask(sentence)))[0] for sentence in SENTENCES]
    items = minilm.task.prepare(ask(*SENTENCES))
    for start in range(0, len(items), size):
        together = minilm.batch(items[start : start + size])
        for vector, expected in zip(together, alone[start : start + size], strict=True):
            np.testing.assert_array_equal(vector, expected)


def test_vectors_are_those_of_the_model_computed_without_any_of_our_code(minilm: Loaded, tmp_path: Path) -> None:
    package.build(tmp_path)
    expected = package.embed(tmp_path, SENTENCES)
    np.testing.assert_allclose(vectors(minilm.answer(ask(*SENTENCES))), expected, atol=1e-5)


def test_similar_sentences_are_nearer_than_dissimilar_ones(minilm: Loaded) -> None:
    similar = cosine(minilm, "A man is playing the guitar.", "Someone plays a musical instrument.")
    assert similar > cosine(minilm, "A man is playing the guitar.", "The stock market fell on Monday.") + 0.3


def test_vectors_have_unit_length_and_the_tokens_are_counted(minilm: Loaded) -> None:
    answer = minilm.answer(ask("Hello world", ""))
    assert answer.outputs[0].shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors(answer), axis=1), 1, atol=1e-6)
    assert answer.parameters == {"prompt_tokens": 4 + 2}  # the words between [CLS] and [SEP], and these two alone


def test_items_are_as_long_as_their_own_tokens(minilm: Loaded) -> None:
    assert [item.length for item in minilm.task.prepare(ask("", "Hello", "Hello world"))] == [2, 3, 4]


def test_a_column_of_texts_is_as_good_as_a_row(minilm: Loaded) -> None:
    row = ask("one", "two")
    column = InferRequest("m", None, [Tensor("text", "BYTES", (2, 1), row.inputs[0].data)])
    assert minilm.answer(column) == minilm.answer(row)


def test_a_long_text_is_cut(minilm: Loaded) -> None:
    (item,) = minilm.task.prepare(ask("word " * 1000))
    assert item.length == 256
    np.testing.assert_array_equal(
        vectors(minilm.answer(ask("word " * 1000))), vectors(minilm.answer(ask("word " * 254)))
    )


def test_a_long_text_is_refused_with_both_lengths_where_the_request_says_not_to_cut(minilm: Loaded) -> None:
    assert len(minilm.task.prepare(ask("word " * 254, truncate=False))) == 1
    with pytest.raises(InvalidInput, match=r"row 1 .* has 502 tokens, the model takes 256"):
        minilm.task.prepare(ask("short", "word " * 500, truncate=False))
    with pytest.raises(InvalidInput, match=r"row 1 .* has at least \d{3,} tokens, the model takes 256"):
        minilm.task.prepare(ask("short", "word " * 100_000, truncate=False))


PIECES = (
    "water ",
    "a",
    " ",
    "\n",
    "\u6c34",
    "e\u0301",
    "\u0301",
    "Stra\u00dfe",
    "x" * 150,
    ". ",
    "[SEP]",
    "\u00a0",
    "antidisestablish",
)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=40), st.integers(1, 400), st.sampled_from([2, 8, 64]))
@settings(deadline=None, max_examples=80)
def test_a_text_that_is_not_read_to_its_end_becomes_the_tokens_of_all_of_it(
    minilm: Loaded, pieces: list[str], times: int, max_length: int
) -> None:
    text = "".join(pieces) * times
    task, tokenizer = short_task(minilm, max_length)
    (item,) = task.prepare(ask(text))
    assert item.features["input_ids"].tolist() == tokenizer.encode(text).ids


def test_only_as_much_of_a_text_is_read_as_the_model_takes(tmp_path: Path) -> None:
    read: list[int] = []

    class Reading(TextTokenizer):
        def _encode_batch(self, texts: list[str]) -> list[Encoding]:
            read.append(sum(map(len, texts)))
            return super()._encode_batch(texts)

    described = package.build(tmp_path)
    assert described.text is not None
    tokenizer = Reading(tmp_path, described.text)
    assert len(tokenizer.encode(["the river is high " * 500_000, "short"], "text")) == 2
    assert sum(read) < 10_000
    tokenizer.encode(["the river is high " * 500] * 200, "text")
    assert max(read) < 300_000  # however many rows


def test_a_word_without_end_behind_others_is_read_like_any_text(minilm: Loaded) -> None:
    task, tokenizer = short_task(minilm, 16)
    for text in ("the river " + "x" * 500_000, "the river " + "\u6c34" * 2_000_000):
        (item,) = task.prepare(ask(text))
        assert item.features["input_ids"].tolist() == tokenizer.encode(text[:500_000]).ids


def test_a_text_that_never_fills_the_model_is_refused_with_what_to_do(minilm: Loaded) -> None:
    assert minilm.task.prepare(ask("x" * 1_000_000))[0].length == 3
    with pytest.raises(InvalidInput, match=r"row 1 .* has 2000000 characters, but no 512 tokens .*: shorten it"):
        minilm.task.prepare(ask("short", " " * 2_000_000))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (InferRequest("m", None, [bytes_tensor("text", [b"fine", b"\xff\xfe"])]), "row 1 of 'text' is not UTF-8"),
        (InferRequest("m", None, [bytes_tensor("text", [])]), r"n of 1 or more, not BYTES of shape \[0\]"),
        (InferRequest("m", None, [Tensor("text", "BYTES", (1, 2), bytes(8))]), r"not BYTES of shape \[1, 2\]"),
        (InferRequest("m", None, [Tensor("text", "BYTES", (), bytes(4))]), r"not BYTES of shape \[\]"),
        (InferRequest("m", None, [Tensor("text", "BYTES", (3,), bytes(8))]), "are not 3 elements"),
        (InferRequest("m", None, [Tensor("text", "UINT8", (4,), b"text")]), "not UINT8"),
        (InferRequest("m", None, [bytes_tensor("prompt", [b"x"])]), "one input, 'text' .*; 'prompt' came"),
        (InferRequest("m", None, []), "nothing came"),
        (ask("x", truncate="no"), "'truncate' must be true or false, not 'no'"),
    ],
)
def test_what_is_no_text_is_refused(minilm: Loaded, request_: InferRequest, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        minilm.task.prepare(request_)


def test_pooling_takes_the_mean_the_first_token_or_what_the_graph_made(tmp_path: Path) -> None:
    save_states(tmp_path, [("sentence_embedding", 2), ("last_hidden_state", 3)])
    ids = np.array([101, 7592, 102])  # [CLS] hello [SEP]
    expected = {"mean": ids.mean(), "cls": 101.0, "none": 101.0}
    for pooling, first in expected.items():
        loaded = Loaded(text_manifest("sentence-embedding", VECTOR, pooling=pooling, normalize=False), tmp_path)
        answer = vectors(loaded.answer(ask("hello", "hello there everyone")))[0]
        np.testing.assert_allclose(answer, np.multiply(first, [1, 2, 3]), rtol=1e-6)


def test_normalising_is_the_manifest_s_choice(tmp_path: Path) -> None:
    save_states(tmp_path, [("last_hidden_state", 3)])
    loaded = Loaded(text_manifest("sentence-embedding", VECTOR, normalize=True), tmp_path)
    np.testing.assert_allclose(vectors(loaded.answer(ask("hello")))[0], np.array([1, 2, 3]) / 14**0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "pooling"),
    [([("pooled", 2)], "mean"), ([("states", 3)], "none"), ([("one", 3), ("other", 3)], "mean")],
)
def test_a_graph_without_the_output_that_pooling_needs_does_not_load(
    tmp_path: Path, outputs: list[tuple[str, int]], pooling: str
) -> None:
    save_states(tmp_path, outputs)
    with pytest.raises(EngineError, match="needs an output of"):
        Loaded(text_manifest("sentence-embedding", VECTOR, pooling=pooling), tmp_path)


def test_a_graph_that_asks_for_what_no_text_has_does_not_load(tmp_path: Path) -> None:
    copy_tokenizer(tmp_path)
    save_graph(
        tmp_path / "model.onnx",
        [helper.make_node("Identity", ["pixel_values"], ["last_hidden_state"])],
        [("pixel_values", TensorProto.FLOAT, ["n", "s", 3])],
        [("last_hidden_state", TensorProto.FLOAT, ["n", "s", 3])],
    )
    with pytest.raises(EngineError, match="asks for 'pixel_values'"):
        Loaded(text_manifest("sentence-embedding", VECTOR), tmp_path)


def test_a_broken_tokenizer_does_not_load(tmp_path: Path) -> None:
    save_states(tmp_path, [("last_hidden_state", 3)])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineError, match=r"tokenizer\.json is no tokenizer"):
        Loaded(text_manifest("sentence-embedding", VECTOR), tmp_path)
