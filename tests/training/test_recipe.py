"""A recipe is read as it is meant, or refused with what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from training.export.layout import RECIPE, write_recipe
from training.pipeline import STAGES, plan
from training.recipe import strict_yaml
from training.recipe.block import RecipeError, check_keys
from training.recipe.recipe import load

WHOLE: dict[str, Any] = {
    "name": "movies",
    "task": "text-classification",
    "model": {"base": "some/base"},
    "datasets": [{"path": "rows.csv"}],
    "register": {"gates": [{"metric": "accuracy", "at_least": 0.8}]},
}


def written(folder: Path, recipe: Any) -> Path:
    (folder / "rows.csv").write_text("text,label\nx,y\n")
    path = folder / "recipe.yaml"
    path.write_text(recipe if isinstance(recipe, str) else strict_yaml.dump(recipe))
    return path


def changed(*path: Any, **keys: Any) -> dict[str, Any]:
    """The whole recipe with `keys` in the block at `path`."""
    recipe: dict[str, Any] = yaml.safe_load(yaml.safe_dump(WHOLE))
    block: Any = recipe
    for step in path:
        block = block[step]
    block.update(keys)
    return recipe


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (changed(dataset=[]), "dataset: there is no such key, did you mean datasets?"),
        (changed(registr={}), "registr: there is no such key, did you mean register?"),
        (changed("model", bas="x"), "model.bas: there is no such key, did you mean base?"),
        (changed("datasets", 0, colums={}), "datasets.0.colums: there is no such key, did you mean columns?"),
        (changed("register", alis="a"), "register.alis: there is no such key, did you mean alias?"),
        (
            changed("register", "gates", 0, at_leest=1),
            "register.gates.0.at_leest: there is no such key, did you mean at_l",
        ),
        (changed(split={"tset": 0.1}), "split.tset: there is no such key, did you mean test?"),
        (changed(split={"zzz": 0.1}), "split.zzz: there is no such key; there are validation, test, column"),
        (changed(split={"validation": 0.5, "test": 0.5}), "split: validation and test leave no rows to train with"),
        (changed(name="Movies!"), "name: String should match pattern"),
        (changed(name="stats"), "name: no model can be called 'stats'"),
        (changed(datasets=[]), "datasets: List should have at least 1 item"),
        (changed("datasets", 0, labels={"good": "> much"}), "datasets.0: '> much': write a condition on a number"),
        (changed("datasets", 0, columns={"a": "b"}, values={"a": 1}), "datasets.0: a: in 'columns' and in 'values'"),
        ({"name": "x"}, "model: Field required"),
        ("name: [", "is not YAML"),
        ("- name", "must hold keys and values"),
        ("name: a\nname: b\n", "the key 'name' stands twice"),
        ("name: a\nclean:\n", "the key 'clean' has nothing behind it: write {} for a block's"),
        ("name: a\nexport:\n  # tune: {}\nseed: 1\n", "the key 'export' has nothing behind it"),
        ("evaluate: {against: }", "the key 'against' has nothing behind it"),
        ("{crop_size: (224, 224)}", "the key '224)' has nothing behind it: write a list as [224, 224]"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, recipe: Any, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load(written(tmp_path, recipe))
    assert message in str(raised.value)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        load(written(tmp_path, changed(dataset=[], nme="x")))
    assert len(str(raised.value).splitlines()) == 2


def test_the_recipe_in_an_artifact_reads_back_as_what_was_done(tmp_path: Path) -> None:
    off = {"mojibake": None, "length": None, "near_duplicates": None}
    blocks = {
        "clean": {"rules": off},
        "profile": {},
        "augment": {},
        "distributed": {"processes": 2},
        "peft": {"type": "lora"},
    }
    for whole in (changed(**blocks), changed(clean={"rules": None}), changed(description="1e5"), WHOLE):
        recipe = load(written(tmp_path, whole))
        (tmp_path / "artifact").mkdir(exist_ok=True)
        write_recipe(recipe, tmp_path / "artifact")
        archived = load(tmp_path / "artifact" / RECIPE)
        assert archived.model_dump() == recipe.model_dump()


def test_a_recipe_that_is_not_there_or_not_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "recipe.yaml").write_bytes(b"name: \xff")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("written_as", "number"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("0.0001", 1e-4),
        ("1.0e38", 1e38),
        ("-1.e2", -100),
        ("+.5e1", 5),
        ("1e+2", 100),
    ],
)
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, written_as: str, number: float) -> None:
    text = yaml.safe_dump(WHOLE) + f"train: {{learning_rate: {written_as}, run_name: e5, version: 1.2.e3, dot: .e1}}\n"
    assert load(written(tmp_path, text)).train == {
        "learning_rate": number,
        "run_name": "e5",
        "version": "1.2.e3",
        "dot": ".e1",
    }


@pytest.mark.parametrize("written_as", ["(224,224)", "(224, 224)", "[224, 224]", "( 224 , 224 )"])
def test_two_numbers_may_stand_in_the_brackets_of_python(tmp_path: Path, written_as: str) -> None:
    block = f"augment:\n  image_augment:\n    methods: [random_crop]\n    params:\n      crop_size: {written_as}\n"
    augment = load(written(tmp_path, strict_yaml.dump(WHOLE) + block)).augment
    assert augment is not None
    assert augment.image_augment is not None
    assert augment.image_augment.params.crop_size == (224, 224)
    assert strict_yaml.load(strict_yaml.dump({"text": "(224, 224)"})) == ({"text": "(224, 224)"}, [])


def test_what_is_said_to_be_nothing_is_nothing(tmp_path: Path) -> None:
    text = yaml.safe_dump(WHOLE) + "clean: null\nevaluate: {against: ~}\naugment: {}\ndescription: ''\n"
    recipe = load(written(tmp_path, text))
    assert (recipe.clean, recipe.evaluate.against, recipe.description) == (None, None, "")
    assert recipe.augment is not None


def test_keys_that_go_to_a_library_are_checked_against_it() -> None:
    with pytest.raises(RecipeError) as raised:
        check_keys({"lora_alfa": 1, "r": 2}, ("r", "lora_alpha"), "peft", "peft.LoraConfig")
    assert str(raised.value) == "peft.lora_alfa: peft.LoraConfig takes no such key, did you mean lora_alpha?"


def test_a_stage_that_the_recipe_does_not_have_is_left_out(tmp_path: Path) -> None:
    names = [step.name for step in plan(load(written(tmp_path, WHOLE)), tmp_path)]
    assert names == ["data", "train", "export", "evaluate", "register"]
    more = {"clean": {}, "augment": {}, "profile": {}, "evaluate": {"against": {"url": "http://127.0.0.1:8000"}}}
    names = [step.name for step in plan(load(written(tmp_path, changed(**more))), tmp_path)]
    assert names == [stage.name for stage in STAGES]


def test_the_last_stage_can_be_named(tmp_path: Path) -> None:
    recipe = load(written(tmp_path, WHOLE))
    assert [step.name for step in plan(recipe, tmp_path, until="train")] == ["data", "train"]
    with pytest.raises(RecipeError, match=r"no stage 'clean'; there are data, train, export"):
        plan(recipe, tmp_path, until="clean")
    with pytest.raises(RecipeError, match=r"no stage 'trian', did you mean train\?"):
        plan(recipe, tmp_path, until="trian")
