"""Text models whose graphs differ: in what they take, in which output is the answer, in how long a text they can."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import orjson
import pytest
from onnx import NodeProto, TensorProto, helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from model_service.opening import open_here
from storage.errors import InvalidArtifact
from storage.importers import import_model
from tests.unit.model_service.graphs import Port, save_graph
from tests.unit.model_service.text_folders import (
    BERT,
    DIM,
    TABLE,
    VOCABULARY,
    embed,
    load,
    mean,
    modules,
    pooling,
    save_lookup,
    sentence_model,
    tokenizer,
    vectors,
)
from tests.unit.model_service.texts import Loaded, ask
from wire.errors import EngineFailed, InvalidInput

TEXTS = ("a", "the river is high", "water in berlin", "", "a b c d e f")
HIDDEN: Port = ("last_hidden_state", TensorProto.FLOAT, ["n", "s", DIM])
WHOLE: Port = ("sentence_embedding", TensorProto.FLOAT, ["n", DIM])
TOKENS = ("input_ids", "attention_mask")
AXES: dict[str, Any] = {"last": np.array(-1), "middle": np.array([1]), "end": np.array([2])}
LAST = [helper.make_node("Gather", ["last_hidden_state", "last"], ["sentence_embedding"], axis=1)]
MEAN = [helper.make_node("ReduceMean", ["last_hidden_state", "middle"], ["sentence_embedding"], keepdims=0)]


def whole_model(
    folder: Path, nodes: list[NodeProto], words: Tokenizer, inputs: tuple[str, ...], **files: Any
) -> Loaded:
    save_lookup(folder, inputs, nodes, [WHOLE], AXES)
    return load(sentence_model(folder, words, **files))


def same_alone_and_together(loaded: Loaded) -> None:
    """In batches as the worker's queue makes them: of items of one group."""
    alone = [embed(loaded, text)[0] for text in TEXTS]
    items = loaded.task.prepare(ask(*TEXTS))
    for group in {item.group for item in items}:
        rows = [row for row, item in enumerate(items) if item.group == group]
        for row, vector in zip(rows, loaded.batch([items[row] for row in rows]), strict=True):
            np.testing.assert_array_equal(vector, alone[row])


@pytest.mark.parametrize("told_by", ["tokenizer.json", "tokenizer_config.json"])
def test_a_text_is_padded_on_the_side_that_the_tokenizer_says(tmp_path: Path, told_by: str) -> None:
    words, files = tokenizer(), {}
    if told_by == "tokenizer.json":
        words.enable_padding(direction="left", pad_id=0, pad_token="[PAD]")
    else:
        files["tokenizer_config.json"] = {"padding_side": "left", "pad_token": "[PAD]"}
    loaded = whole_model(tmp_path, LAST, words, TOKENS, **files)
    same_alone_and_together(loaded)
    (_, long) = loaded.task.prepare(ask("a", "a b c"))
    batch = loaded.task.collate([*loaded.task.prepare(ask("a")), long])
    assert batch["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]


def test_an_artifact_that_names_no_side_is_cut_and_padded_as_its_tokenizer_has_it(tmp_path: Path) -> None:
    words = tokenizer()
    words.enable_padding(direction="left")
    words.enable_truncation(4, direction="left")
    manifest = load(sentence_model(tmp_path, words, **{"sentence_bert_config.json": {"max_seq_length": 4}})).manifest
    assert manifest.text is not None
    silent = manifest.text.model_copy(update={"truncation_side": None, "padding_side": None})
    loaded = Loaded(manifest.model_copy(update={"text": silent}), tmp_path)
    ids = loaded.task.collate(loaded.task.prepare(ask("a", "a b c")))["input_ids"]
    assert ids.tolist() == [
        [VOCABULARY[word] for word in line.split()] for line in ("[PAD] [CLS] a [SEP]", "[CLS] b c [SEP]")
    ]


def test_padding_has_the_id_and_the_type_that_the_tokenizer_says(tmp_path: Path) -> None:
    words = tokenizer()
    words.enable_padding(pad_id=VOCABULARY["[PAD]"], pad_token="[PAD]")
    files = {"tokenizer_config.json": {"pad_token": "[MASK]", "pad_token_type_id": 3}}
    save_lookup(tmp_path, (*TOKENS, "token_type_ids"))
    loaded = load(sentence_model(tmp_path, words, **files))
    batch = loaded.task.collate(loaded.task.prepare(ask("a", "a b")))
    assert batch["input_ids"][0].tolist()[-1] == VOCABULARY["[MASK]"]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 3], [0, 0, 0, 0]]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_padding_changes_no_vector_on_whichever_side_it_is(tmp_path: Path, side: str, mode: str) -> None:
    files = {
        "tokenizer_config.json": {"padding_side": side},
        "1_Pooling/config.json": {"pooling_mode": mode, "embedding_dimension": DIM},
    }
    same_alone_and_together(load(sentence_model(tmp_path, **files)))


def test_without_an_attention_mask_only_texts_of_one_length_share_a_batch(tmp_path: Path) -> None:
    loaded = whole_model(tmp_path, MEAN, tokenizer(), ("input_ids",))
    same_alone_and_together(loaded)
    groups = [item.group for item in loaded.task.prepare(ask("a", "b", "a b", "the river"))]
    assert groups[0] == groups[1] != groups[2] == groups[3]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BERT, [[0, 1, 2], [0, 1, 2, 3, 4]]),
        ({**BERT, "model_type": "xlm-roberta", "pad_token_id": 0}, [[1, 2, 3], [1, 2, 0, 3, 4]]),
    ],
)
def test_a_graph_that_takes_positions_is_given_them_as_the_model_counts(
    tmp_path: Path, config: dict[str, Any], expected: list[list[int]]
) -> None:
    save_lookup(tmp_path, (*TOKENS, "position_ids"))
    loaded = load(sentence_model(tmp_path, **{"config.json": config}))
    assert loaded.manifest.task == "sentence-embedding"
    items = loaded.task.prepare(ask("a", "a [PAD] b"))  # RoBERTa counts no padding token, wherever it stands
    assert [item.features["position_ids"].tolist() for item in items] == expected
    np.testing.assert_allclose(embed(loaded, "a")[0], mean("[CLS]", "a", "[SEP]"), atol=1e-6)


@pytest.mark.parametrize("inputs", [(*TOKENS, "task_id"), ("tokens",), (*TOKENS, "past_key_values.0.key")])
def test_a_text_model_whose_graph_asks_for_more_is_never_one_of_raw_tensors_without_a_word(
    tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    nodes = [helper.make_node("Identity", [inputs[-1]], ["last_hidden_state"])]
    ports: list[Port] = [(name, TensorProto.FLOAT, ["n", "s", DIM]) for name in inputs]
    save_graph(tmp_path / "model.onnx", nodes, ports, [HIDDEN])
    folder = sentence_model(tmp_path)
    with pytest.raises(InvalidArtifact, match=rf"'{inputs[-1]}'.*\"task\": \"tensors\""):
        import_model(folder)
    assert import_model(folder, settings={"task": "tensors"}).manifest.task == "tensors"
    (folder / "modules.json").unlink()
    if "input_ids" in inputs:
        with pytest.raises(InvalidArtifact, match=inputs[-1]):
            import_model(folder)


DENSE: Port = ("dense_vecs", TensorProto.FLOAT, ["n", DIM])
SPARSE: Port = ("sparse_vecs", TensorProto.FLOAT, ["n", "s", 1])
M3 = [
    helper.make_node("ReduceMax", ["last_hidden_state", "middle"], ["dense_vecs"], keepdims=0),
    helper.make_node("ReduceSum", ["last_hidden_state", "end"], ["sparse_vecs"], keepdims=1),
]


def test_of_several_outputs_the_one_as_wide_as_the_folder_says_is_the_answer(tmp_path: Path) -> None:
    save_lookup(tmp_path, TOKENS, M3, [DENSE, SPARSE], AXES)
    loaded = load(sentence_model(tmp_path))
    rows = TABLE[[VOCABULARY[word] for word in ("[CLS]", "river", "[SEP]")]]
    np.testing.assert_allclose(embed(loaded, "river")[0], rows.max(0), atol=1e-6)
    assert loaded.manifest.text is not None
    assert (loaded.manifest.text.output, loaded.manifest.outputs[0].shape) == ("dense_vecs", (-1, DIM))


@pytest.mark.parametrize(
    ("outputs", "nodes"),
    [
        ([SPARSE], [M3[1]]),
        ([("pooler_output", TensorProto.FLOAT, ["n", DIM])],
         [helper.make_node("ReduceMax", ["last_hidden_state", "middle"], ["pooler_output"], keepdims=0)]),
    ],
)  # fmt: skip
def test_an_output_that_is_no_vector_of_the_text_is_refused_with_what_there_is(
    tmp_path: Path, outputs: list[Port], nodes: list[NodeProto]
) -> None:
    save_lookup(tmp_path, TOKENS, nodes, outputs, AXES)
    with pytest.raises(InvalidArtifact, match=f"the graph has '{outputs[0][0]}'"):
        import_model(sentence_model(tmp_path))


def test_the_network_s_own_width_counts_where_pooling_says_none(tmp_path: Path) -> None:
    files = {"1_Pooling/config.json": {"pooling_mode": "mean"}, "config.json": {**BERT, "hidden_size": 9}}
    with pytest.raises(InvalidArtifact, match=r"\[batch, tokens, 9\]"):
        import_model(sentence_model(tmp_path, **files))


def test_a_width_that_the_graph_leaves_open_is_checked_when_it_runs(tmp_path: Path) -> None:
    open_width: Port = ("last_hidden_state", TensorProto.FLOAT, ["n", "s", "d"])
    save_lookup(tmp_path, TOKENS, (), [open_width])
    folder = sentence_model(tmp_path, **{"1_Pooling/config.json": pooling(word_embedding_dimension=9)})
    assert import_model(folder).manifest.outputs[0].shape == (-1, 9)
    with pytest.raises(Exception, match="vectors of 4 numbers, the manifest promises 9"):
        embed(load(folder), "a")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_vector_of_nan_or_infinity_is_an_error_that_names_the_row(
    tmp_path: Path, bad: float, normalize: bool
) -> None:
    table = TABLE.copy()
    table[VOCABULARY["water"]] = bad
    save_lookup(tmp_path, constants={"table": table})
    kinds = modules("Transformer", "Pooling", *(["Normalize"] if normalize else []))
    loaded = load(sentence_model(tmp_path, **{"modules.json": kinds}))
    with pytest.raises(EngineFailed, match="NaN or infinity for row 1 of this request"):
        loaded.answer(ask("river", "water", "river"))
    assert np.isfinite(embed(loaded, "river", "a")).all()  # beside it or after it


async def test_trouble_in_the_tokenizer_is_told_with_its_row_and_counted(tmp_path: Path) -> None:
    words = tokenizer(unknown="<nope>", added=False)
    words.normalizer = normalizers.Replace(Regex("(a+)+$"), "b")  # a panic of its Rust code, which is no Exception
    manifest = import_model(sentence_model(tmp_path, words)).manifest
    model = open_here("m", 1, manifest, tmp_path, threads=1)
    for bad, words_ in (("the zebra", "Missing \\[UNK\\]"), ("a" * 30 + "!", "retry-limit")):
        with pytest.raises(
            InvalidInput, match=f"row 1 of 'text': the model's tokenizer fails on this text: .*{words_}"
        ):
            await model.infer(ask("river", bad, "river"))
        with pytest.raises(InvalidInput, match="row 0"):
            await model.infer(ask(bad))
    assert model.statistics.failures["InvalidInput"].count == 4
    answer = await model.infer(ask("river"))
    assert answer.parameters["prompt_tokens"] == 3
    await model.close()


@pytest.mark.parametrize("positions", [3, 8, 12, 40])
@pytest.mark.parametrize("kept", [0, 2])
def test_a_text_is_cut_where_the_graph_ends_whatever_the_files_promise(
    tmp_path: Path, positions: int, kept: int
) -> None:
    """Positions are looked up in a table; some of them are kept for padding, as RoBERTa does."""
    nodes = [
        helper.make_node("CumSum", ["attention_mask", "one"], ["counted"]),
        helper.make_node("Add", ["counted", "before"], ["place"]),
        helper.make_node("Gather", ["places", "place"], ["placed"]),
        helper.make_node("Add", ["last_hidden_state", "placed"], ["token_embeddings"]),
    ]
    places = np.zeros((positions + kept, DIM), np.float32)
    constants = {"one": np.array(1), "before": np.array(kept - 1), "places": places}
    save_lookup(tmp_path, TOKENS, nodes, [("token_embeddings", TensorProto.FLOAT, ["n", "s", DIM])], constants)
    config = {"architectures": ["XModel"], "model_type": "x", "max_position_embeddings": positions + kept}
    loaded = load(sentence_model(tmp_path, **{"config.json": config}))
    (item,) = loaded.task.prepare(ask("the river is high " * 100))
    assert item.length == positions
    assert np.isfinite(embed(loaded, "the river is high " * 100)).all()
    with pytest.raises(InvalidInput, match=f"the model takes {positions}"):
        loaded.task.prepare(ask("the river is high " * 100, truncate=False))


def test_a_length_that_the_graph_takes_is_the_one_promised(tmp_path: Path) -> None:
    loaded = load(sentence_model(tmp_path, **{"sentence_bert_config.json": {"max_seq_length": 3000}}))
    (item,) = loaded.task.prepare(ask("the river is high " * 2000))
    assert item.length == 3000


def test_the_words_of_entities_have_no_blanks_around_them(tmp_path: Path) -> None:
    marked = ["<unk>", "\u2581in", "\u2581Ber", "lin"]
    words = Tokenizer(models.Unigram([(word, -1.0) for word in (*marked, *"\u2581abinerl")], unk_id=0))
    words.pre_tokenizer = pre_tokenizers.Metaspace()
    table = np.zeros((len(TABLE), DIM), np.float32)
    table[[2, 3], [1, 2]] = 5.0
    logits: Port = ("logits", TensorProto.FLOAT, ["n", "s", DIM])
    save_lookup(tmp_path, TOKENS, [helper.make_node("Identity", ["last_hidden_state"], ["logits"])], [logits],
                {"table": table})  # fmt: skip
    labels = {str(index): label for index, label in enumerate(("O", "B-LOC", "I-LOC", "B-PER"))}
    config = {**BERT, "architectures": ["BertForTokenClassification"], "id2label": labels}
    folder = sentence_model(tmp_path, words, **{"config.json": config})
    (folder / "modules.json").unlink()
    loaded, text = load(folder), "in Berlin"
    assert b'"word":"Berlin","start":3,"end":9' in loaded.answer(ask(text)).outputs[0].data
    assert b'"word":"Ber","start":3,"end":6' in loaded.answer(ask(text, aggregation_strategy="none")).outputs[0].data


async def test_the_trial_finds_a_graph_that_takes_padding_for_text(tmp_path: Path) -> None:
    save_lookup(tmp_path, TOKENS, MEAN, [WHOLE], AXES)
    batching = {"batch_invariant": False, "tolerance": 1e-4}
    manifest = import_model(sentence_model(tmp_path), settings={"batching": batching}).manifest
    model = open_here("m", 1, manifest, tmp_path, threads=1)
    found = await asyncio.to_thread(model.rows_depend, tmp_path, monotonic() + 60)
    assert "a row is answered otherwise beside other rows" in str(found)
    await model.close()


def test_a_classifier_s_output_is_the_one_that_is_chosen(tmp_path: Path) -> None:
    two: list[Port] = [(name, TensorProto.FLOAT, ["n", DIM]) for name in ("first", "second")]
    nodes = [
        helper.make_node("ReduceMax", ["last_hidden_state", "middle"], ["first"], keepdims=0),
        helper.make_node("ReduceMin", ["last_hidden_state", "middle"], ["second"], keepdims=0),
    ]
    save_lookup(tmp_path, TOKENS, nodes, two, AXES)
    folder = sentence_model(tmp_path, **{"config.json": {**BERT, "architectures": ["BertForSequenceClassification"]}})
    (folder / "modules.json").unlink()
    with pytest.raises(InvalidArtifact, match="needs an output 'logits' of 2 dimensions"):
        import_model(folder)
    loaded = load(folder, text={"output": "second"})
    rows = TABLE[[VOCABULARY[word] for word in ("[CLS]", "a", "[SEP]")]].min(0)
    best = orjson.loads(loaded.answer(ask("a")).outputs[0].elements()[0])[0]
    assert best["label"] == f"LABEL_{int(rows.argmax())}"


ODD = (
    "",
    " ",
    "\n",
    "[CLS]",
    "[SEP] [PAD]",
    "😀",
    "e\u0301",
    "\u0301",
    "\u200d",
    "\ufeffa",
    "x" * 5000,
    "a" + "\0" + "b",
)


def test_odd_texts_are_what_they_are_alone(tmp_path: Path) -> None:
    loaded = load(sentence_model(tmp_path))
    together = vectors(loaded.answer(ask(*ODD)))
    for text, vector in zip(ODD, together, strict=True):
        np.testing.assert_array_equal(embed(loaded, text)[0], vector)
        assert np.isfinite(vector).all()
