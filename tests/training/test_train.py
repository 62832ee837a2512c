import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from tests.training.train_stage import LORA, MINILM, PROMPT, SMALL, STEPS, TINY, digest, events, recipe, trained, work
from training.recipe.block import RecipeError
from training.tasks.open import open_task
from training.tasks.source import locate
from training.train.adapter import adapt
from training.train.check import check
from training.train.run import run

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


def seeing(config: dict[str, Any], **processor: Any) -> dict[str, Any]:
    return {"task": "object-detection", "model": {"config": config, "processor": processor}}


def hearing(model_type: str, **processor: Any) -> dict[str, Any]:
    return {"task": "audio-classification", "model": {"config": {"model_type": model_type}, "processor": processor}}


def base() -> dict[str, torch.Tensor]:
    return dict(AutoModel.from_pretrained(locate(MINILM, Path()), num_hidden_layers=2).state_dict())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    return trained(
        tmp_path_factory.mktemp("full"),
        recipe(train={**STEPS, "max_steps": 30}),
        train=480,
        held_out=100,
    )


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("lora")
    return trained(folder, recipe(peft=LORA, train={**STEPS, "max_steps": 20, "learning_rate": 5e-3}))


def test_held_out_loss_falls_and_the_best_weights_are_kept(full: tuple[dict[str, Any], Path]) -> None:
    outcome, folder = full
    losses = [event["loss"] for event in events(folder, "validation")]
    assert outcome["validation_loss"] == pytest.approx(min(losses), abs=1e-4)
    assert outcome["validation_loss"] < 0.9 * losses[0]


def test_what_is_left_is_a_hugging_face_folder_and_no_checkpoints(full: tuple[dict[str, Any], Path]) -> None:
    outcome, folder = full
    network = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    assert network.config.id2label == {0: "editorial", 1: "film", 2: "goods", 3: "tweet"}
    assert outcome["parameters"] == outcome["trainable_parameters"] == network.num_parameters()
    assert {path.name for path in folder.iterdir()} >= {"model", "log.jsonl", "metrics.prom", "tensorboard"}
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("logged", "steps"),
    [({"logging_steps": 500}, [5]), ({"logging_strategy": "no"}, [5]), ({"logging_steps": 2}, [2, 4, 5])],
)
def test_the_last_step_is_logged_however_seldom_the_recipe_has_it_done(
    logged: dict[str, Any], steps: list[int], tmp_path: Path
) -> None:
    outcome, folder = trained(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 5, **logged}))
    assert [event["step"] for event in events(folder, "step")] == steps
    assert outcome["steps"] == 5
    assert outcome["train_loss"] == events(folder, "step")[-1]["loss"] > 0
    assert events(folder, "step")[-1]["samples"] == pytest.approx(16 * (steps[-1] - (steps[-2:-1] or [0])[0]), abs=0.1)


def test_the_learning_rate_rises_over_the_first_tenth_of_the_steps_and_then_falls(
    full: tuple[dict[str, Any], Path],
) -> None:
    _, folder = full
    rates = [event["learning_rate"] for event in events(folder, "step")]
    assert events(folder, "begin")[0]["warmup_steps"] == 0.1
    assert rates[:4] == pytest.approx([0, 5e-4 / 3, 2 * 5e-4 / 3, 5e-4])
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))


def test_gradients_are_clipped_at_the_norm_that_the_log_names(tmp_path: Path) -> None:
    # Plain gradient descent moves the weights by the rate times the clipped gradients, so by their norm times it.
    blocks = {"optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant", "max_steps": 1, "warmup_steps": 0}
    moved = {}
    for norm in (1.0, 1e-3):
        given = {**STEPS, **blocks, "load_best_model_at_end": False} | ({} if norm == 1.0 else {"max_grad_norm": norm})
        _, folder = trained(tmp_path / str(norm), recipe(train=given))
        assert events(folder, "begin")[0]["max_grad_norm"] == norm
        after = AutoModel.from_pretrained(folder / "model").state_dict()
        before = base()
        body = [name for name in before if name.startswith(("encoder", "embeddings", "pooler"))]
        moved[norm] = float(torch.stack([(after[name] - before[name]).norm() for name in body]).norm())
        (step,) = events(folder, "step")
        assert step["gradient_norm"] > 1e-3  # before it was clipped
    assert moved[1e-3] <= 0.5 * 1e-3 * 1.01
    assert moved[1.0] > 10 * moved[1e-3]


def test_bf16_computes_nearly_the_same_and_the_log_names_it(tmp_path: Path) -> None:
    first = {}
    for low in (False, True):
        given = {**STEPS, "max_steps": 2, "bf16": low}
        outcome, folder = trained(tmp_path / str(low), recipe(train=given))
        assert outcome["precision"] == events(folder, "begin")[0]["precision"] == ("bf16" if low else "fp32")
        first[low] = events(folder, "step")[0]["loss"]
    assert first[True] != first[False]
    assert first[True] == pytest.approx(first[False], rel=0.02)


def test_lora_has_the_recipes_settings(lora: tuple[dict[str, Any], Path]) -> None:
    outcome, folder = lora
    peft = events(folder, "begin")[0]["peft"]
    assert {key: peft[key] for key in LORA if key != "type"} == {key: LORA[key] for key in LORA if key != "type"}
    assert peft["peft_type"] == "LORA"
    # Two layers, query and value, 16 by 384 twice; and the classifier.
    assert outcome["trainable_parameters"] == 2 * 2 * 2 * 16 * 384 + 4 * 384 + 4
    assert outcome["trainable_parameters"] < 0.01 * outcome["parameters"]


def test_the_merged_model_is_the_base_with_the_adapter_in_it(lora: tuple[dict[str, Any], Path]) -> None:
    _, folder = lora
    from safetensors.torch import load_file

    before, after = base(), AutoModel.from_pretrained(folder / "model").state_dict()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {
        f"encoder.layer.{layer}.attention.self.{part}.weight" for layer in (0, 1) for part in ("query", "value")
    }
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    name = "encoder.layer.1.attention.self.query"
    down, up = (adapter[f"base_model.model.bert.{name}.lora_{part}.weight"] for part in "AB")
    assert after[f"{name}.weight"].allclose(before[f"{name}.weight"] + 2 * up @ down, atol=1e-6)


def test_prompt_tuning_leaves_the_body_as_it_was_and_answers_otherwise(tmp_path: Path) -> None:
    outcome, folder = trained(tmp_path, recipe(peft=PROMPT, train={**STEPS, "max_steps": 10, "learning_rate": 1e-2}))
    before, after = base(), AutoModel.from_pretrained(folder / "model").state_dict()
    assert all(before[name].equal(after[name]) for name in before)
    assert outcome["trainable_parameters"] == 8 * 384 + 4 * 384 + 4
    task = open_task("text-classification")
    whole = task.load(folder / "model")
    bare = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokens = whole.processor(["a fine film"], return_tensors="pt")
    with torch.inference_mode():
        assert not whole.network(**tokens).logits.allclose(bare(**tokens).logits, atol=1e-4)


def test_virtual_tokens_begin_as_a_text_cut_by_the_bases_own_tokenizer() -> None:
    peft = {"type": "prompt-tuning", "num_virtual_tokens": 6, "prompt_tuning_init": "TEXT"}
    asked = recipe(peft={**peft, "prompt_tuning_init_text": "good or bad ?"})
    task = open_task("text-classification")
    model = task.start(asked, ("bad", "good"))
    ids = model.processor("good or bad ?", return_tensors="pt").input_ids[0]
    assert len(ids) == 6
    began = model.network.get_input_embeddings()(ids).detach().clone()
    assert adapt(model, asked, task).network.prompt_encoder["default"].embedding.weight.equal(began)


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({"train": {"learning_rte": 1e-3}}, "train.learning_rte: .*TrainingArguments.*, did you mean learning_rate?"),
        ({"train": {"output_dir": "x"}}, "train.output_dir"),
        ({"train": {"lr_scheduler_type": "linnear"}}, "train: .*linnear"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate is 'fast', where a number is wanted"),
        ({"train": {"num_train_epochs": "two"}}, "train.num_train_epochs is 'two', where a number is wanted"),
        ({"train": {"max_steps": "6"}}, "train.max_steps is '6', where a whole number is wanted"),
        ({"train": {"max_steps": 2.5}}, "train.max_steps is 2.5, where a whole number is wanted"),
        ({"train": {"per_device_train_batch_size": 0}}, "batch_size is 0, where a whole number above 0 is wanted"),
        ({"train": {"bf16": "no"}}, "train.bf16 is 'no', where true or false is wanted"),
        ({"task": "dpo", "train": {"beta": "low"}}, "train.beta is 'low', where a number is wanted"),
        ({"peft": {"type": "lora", "r": "sixteen"}}, "peft.r is 'sixteen', where a whole number is wanted"),
        ({"peft": {"type": "lora", "r": 0}}, "peft.r is 0, where a whole number above 0 is wanted"),
        ({"peft": {"type": "prompt-tuning"}}, "peft.num_virtual_tokens: prompt-tuning needs it"),
        ({"peft": {**PROMPT, "prompt_tuning_init": "WORDS"}}, "peft: 'WORDS' is not a valid PromptTuningInit"),
        ({"peft": {**PROMPT, "prompt_tuning_init": "TEXT"}}, "peft: .*prompt_tuning_init_text can't be None"),
        (
            {"model": {**SMALL, "max_length": 508}, "peft": PROMPT},
            "max_length: 508 tokens after the 8 of peft.num_virtual_tokens, .* takes 512 in all: lower .* by 4",
        ),
        (
            {"model": {"tokenizer": MINILM, "config": {"model_type": "bert", "max_position_embeddings": 32}}},
            "model.max_length: 256 tokens, but the model takes 32: lower it",
        ),
        ({"peft": {"type": "lora", "lora_alfa": 1}}, "peft.lora_alfa: .*LoraConfig.*, did you mean lora_alpha?"),
        ({"peft": {"type": "prompt-tuning", "r": 1}}, "peft.r: peft.PromptTuningConfig takes no such key"),
        ({"model": {"base": MINILM, "config": {"hiden_size": 3}}}, "config.hiden_size: .*did you mean hidden_size?"),
        ({"model": {"config": {"model_type": "brt"}}}, "model.config.model_type.brt: .*did you mean bert?"),
        ({"model": {"config": {"model_type": 7}}}, "model.config.model_type.7: transformers takes no such key"),
        ({"model": {"config": {"model_type": "bert", "hidden_size": "x"}}}, "(?s)model.config: .*hidden_size"),
        (
            {
                "task": "tabular-regression",
                "model": {"config": {"model_type": "headrace-tabular", "columns": ["x"]}},
                "train": {"per_device_train_batch_size": 1},
            },
            "train.per_device_train_batch_size: .*give it 2 rows or more",
        ),
        (
            {"task": "tabular-regression", "model": {"config": {"model_type": "headrace-tabular"}}},
            "model.config.columns: name the columns of numbers",
        ),
        ({"task": "chat", "model": {"tokenizer": MINILM, "config": {"model_type": "llama"}}}, "has no chat template"),
        ({"model": {"base": "./nowhere"}}, "model.base: .*nowhere is not a folder"),
        ({"model": {"base": MINILM, "tokenizer": "/no/words"}}, "model.tokenizer: /no/words is not a folder"),
        ({"model": {"base": "tests", "config": {"hidden_size": 2}}}, "model.base: Unrecognized model in tests"),
        ({"model": {"base": MINILM, "processor": {"size": 32}}}, "model.processor: text-classification sees no images"),
        (
            seeing({"model_type": "resnet"}, sise=32, image_meen=[0.5]),
            "(?s)processor.sise: .*ViTImageProcessorPil.*did you mean size.*processor.image_meen: .*mean image_mean",
        ),
        (seeing({"model_type": "resnet"}, do_center_crop=True), "model.processor: it crops .*do_center_crop: false"),
        (hearing("audio-spectrogram-transformer", mel_bins=32), "mel_bins: .*ASTFeatureExtractor.*mean num_mel_bins"),
        (hearing("bert", sampling_rate=8000), "model.config.model_type: bert hears no sounds"),
        (
            seeing({"model_type": "detr", "backbone_config": {"model_type": "resnet", "dephts": [1]}}),
            "model.config.backbone_config.dephts: transformers.ResNetConfig .*did you mean depths",
        ),
        (
            seeing({"model_type": "detr", "backbone_config": {"depths": [1]}}),
            "model.config.backbone_config needs its model_type",
        ),
        ({"model": {"base": "package:no_such/model", "config": {"x": 1}}}, "package no-such is not installed"),
        ({"task": "txt-classification"}, "text-classification"),
        ({"distributed": {"strategy": "fsdp"}, "train": {"optim": "sgd"}}, "train.optim: .*the strategy fsdp"),
        ({"distributed": {"strategy": "fsdp"}, "peft": LORA}, "ddp only"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_beforehand(blocks: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        check(recipe(**blocks))


def test_a_prompt_that_leaves_just_room_for_the_longest_text_is_taken() -> None:
    check(recipe(model={**SMALL, "max_length": 504}, peft=PROMPT))


def test_a_hub_that_cannot_be_reached_is_told_with_the_key_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: Any, **options: Any) -> None:
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(AutoConfig, "from_pretrained", away)
    with pytest.raises(RecipeError, match=r"model\.base: We couldn't connect"):
        check(recipe(model={"base": "some/model", "config": {"hidden_size": 8}}))


def test_a_killed_run_resumes_and_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    given = {**STEPS, "max_steps": 16, "eval_steps": 4}
    expected, whole = trained(tmp_path / "whole", recipe(train=given))
    job = work(tmp_path / "killed", recipe(train=given))
    code = (
        "import sys; from pathlib import Path; from tests.training.train_stage import *; "
        f"trained(Path(sys.argv[1]), recipe(train={given!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")])
    while not (job.folder / "log.jsonl").exists() or len(events(job.folder, "step")) < 10:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (job.folder / "trained.json").exists()

    said: list[str] = []
    outcome = run(type(job)(job.recipe, job.folder, job.inputs, job.outcomes, said.append))

    assert any(line.startswith("resumed after step") for line in said)
    assert digest(job.folder) == digest(whole)
    assert {**outcome, "seconds": 0} == {**expected, "seconds": 0}
    strip = ("loss", "learning_rate", "gradient_norm", "step", "epoch")
    assert [[event[name] for name in strip] for event in events(job.folder, "step")] == [
        [event[name] for name in strip] for event in events(whole, "step")
    ]


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path: Path) -> None:
    job = work(tmp_path, recipe(train={**STEPS, "max_steps": 2}))
    broken = job.folder / "checkpoints" / "checkpoint-1"
    broken.mkdir(parents=True)
    (broken / "trainer_state.json").write_text('{"global_step"')
    assert run(job)["steps"] == 2


def test_a_model_from_its_config_alone_is_trained_from_nothing(tmp_path: Path) -> None:
    outcome, folder = trained(tmp_path, recipe(model=TINY, train={**STEPS, "max_steps": 4}))
    assert AutoModel.from_pretrained(folder / "model").config.hidden_size == 32
    assert outcome["steps"] == 4


def test_the_same_recipe_gives_the_same_weights(tmp_path: Path) -> None:
    given = recipe(model={**SMALL, "max_length": 16}, train={**STEPS, "max_steps": 3})
    assert digest(trained(tmp_path / "a", given)[1]) == digest(trained(tmp_path / "b", given)[1])
