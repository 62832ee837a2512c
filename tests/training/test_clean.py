"""The rules over real reviews: what they drop, what they keep, and what they write down."""

import io
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Features, Image, Value

from tests.training.clean_stage import NO_RULES, Cleaned, by_rules, chinese, english, of
from tests.training.data_stage import recipe
from training.clean.duplicates import near_duplicates, shingles_of
from training.data.compared import Compared
from training.pipeline import plan
from training.recipe.block import RecipeError
from training.recipe.clean import NearDuplicates
from training.recipe.recipe import load
from training.report.sections.clean import section
from training.stage import ROWS, Work
from training.tasks.text_classification import TextClassification


def test_all_copies_of_a_row_but_the_first_are_dropped_and_so_are_all_that_contradict_each_other(
    tmp_path: Path,
) -> None:
    found = by_rules(tmp_path, chinese(), duplicates=True, conflicts="drop")
    labels: dict[str, set[str]] = {}
    for row in chinese():
        labels.setdefault(row["text"].strip(), set()).add(row["label"])
    both = {text for text, of_it in labels.items() if len(of_it) == 2}
    assert len(both) == 47
    left = [text.strip() for text in found.texts]
    assert len(left) == len(set(left)) > 17_000
    assert set(left) <= labels.keys() - both
    # Not one review is lost: what is not there stands in another case or spacing, or with both labels.
    forms = {"".join(text.split()).casefold() for text in left}
    lost = [text for text in labels.keys() - both if "".join(text.split()).casefold() not in forms]
    assert len(lost) < 20
    assert found.outcome["dropped"].keys() == {"duplicate", "conflict"}
    assert len(found.rows) + len(found.dropped) == len(chinese())


def test_contradicting_rows_can_be_kept_and_are_counted(tmp_path: Path) -> None:
    rows = [{"text": "还不错", "label": "pos"}, {"text": "还不错 ", "label": "neg"}, {"text": "很好", "label": "pos"}]
    found = by_rules(tmp_path, rows, duplicates=True, conflicts="keep")
    assert found.rows == rows
    assert found.outcome["rules"]["conflicting_rows"] == 2


def test_near_duplicates_are_those_that_comparing_all_with_all_finds(tmp_path: Path) -> None:
    block = NearDuplicates(threshold=0.6)
    texts = list(dict.fromkeys(row["text"] for row in chinese()[:600]))
    # Reviews that people copied and changed: a sentence added, a word taken away.
    texts += [f"{text}推荐" for text in texts[::7]] + [text[: -len(text) // 8] for text in texts[::11]]
    rows = dict(enumerate(of(*texts)))
    compared = Compared(TextClassification(), recipe(tmp_path, datasets=[{"path": "none"}]))
    found = near_duplicates(rows, ["text"], block, compared)
    shingles = [shingles_of(text, block.shingle) for text in texts]
    wanted, kept = set(), list[int]()
    for at, own in enumerate(shingles):
        like = [len(own & shingles[other]) / len(own | shingles[other]) for other in kept]
        if max(like, default=0) >= block.threshold:
            wanted.add(at)
        else:
            kept.append(at)
    assert len(wanted) > 80
    assert found.keys() <= wanted  # exact: none is dropped that is further away
    assert len(wanted - found.keys()) <= 0.02 * len(wanted)  # MinHash overlooks few
    assert all(verdict.score is not None and verdict.score >= block.threshold for verdict in found.values())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("The plot is thin, the acting is good and the music is better than both of them.",
         "The plot is thin, the acting is good, and the music is better than both of them!"),
        ("这本书内容很好,印刷也不错,就是送货太慢了,等了整整一个星期才到",
         "这本书内容很好 印刷也不错 就是送货太慢了 等了整整一个星期才到。"),
    ],
)  # fmt: skip
def test_rows_nearly_the_same_are_one_in_english_and_in_chinese(tmp_path: Path, first: str, second: str) -> None:
    found = by_rules(tmp_path, of(first, second, "Something else entirely."), near_duplicates={})
    assert found.texts == [first, "Something else entirely."]
    (line,) = found.dropped
    assert (line["reason"], line["detail"]) == ("near-duplicate", "nearly the same as row 0")


def test_nearly_the_same_text_with_another_label_or_another_question_stays(tmp_path: Path) -> None:
    text = "这个产品的质量真的很好, 我非常喜欢它, 会推荐给朋友们, 谢谢卖家"
    rows = [
        {"text": text, "text_pair": "值得买吗", "label": "pos"},
        {"text": f"{text}!", "text_pair": "值得买吗", "label": "neg"},
        {"text": text, "text_pair": "什么时候发货呢", "label": "pos"},
    ]
    assert by_rules(tmp_path, rows, "pair-classification", near_duplicates={}).rows == rows


def damaged(text: str) -> str:
    """As browsers read UTF-8 that they take for Western."""
    return text.encode("utf-8").decode("sloppy-windows-1252")  # an encoding that ftfy brings


def test_text_that_was_decoded_wrongly_is_read_as_it_was_meant(tmp_path: Path) -> None:
    meant = [row["text"] for row in chinese()[:50]]
    found = by_rules(tmp_path, of(*map(damaged, meant)), mojibake="repair")
    assert found.texts == meant
    assert found.outcome["rules"]["repaired_rows"] == 50


def test_text_that_was_decoded_wrongly_can_be_dropped_instead(tmp_path: Path) -> None:
    found = by_rules(tmp_path, of(damaged("Ça marche très bien"), "Ça va"), mojibake="drop")
    assert found.texts == ["Ça va"]
    assert found.reasons() == {0: "mojibake"}


@pytest.mark.parametrize("lost", ["内容锟斤拷锟斤拷不错", "The caf\ufffd is nice"])
def test_text_whose_characters_are_lost_is_dropped(tmp_path: Path, lost: str) -> None:
    found = by_rules(tmp_path, of(lost, "内容不错"), mojibake="repair")
    assert found.reasons() == {0: "mojibake"}


def test_hardly_a_real_review_is_taken_for_mojibake(tmp_path: Path) -> None:
    rows = [*chinese()[::10], *of(*english("movieReviewSnippets")[:2000])]
    assert by_rules(tmp_path, rows, mojibake="drop").outcome["rows"]["after"] > 0.998 * len(rows)


def test_length_is_counted_in_characters_whatever_the_script(tmp_path: Path) -> None:
    rows = of("好", "很好", "  好  ", "ok", "这本书真好看", "too long")
    found = by_rules(tmp_path, rows, length={"min": 2, "max": 6})
    assert found.texts == ["很好", "ok", "这本书真好看"]
    assert [(line["reason"], line["score"]) for line in found.dropped] == [
        ("too-short", 1), ("too-short", 1), ("too-long", 8),
    ]  # fmt: skip


@pytest.mark.parametrize("wanted", ["zh", "en"])
def test_what_is_surely_in_another_language_is_dropped(tmp_path: Path, wanted: str) -> None:
    there = {
        "zh": [row["text"] for row in chinese()[::30] if len(row["text"]) >= 10],
        "en": list(english("amazonReviewSnippets")[:1000]),
    }
    rows = of(*there["zh"], *there["en"])
    found = by_rules(tmp_path, rows, language={"allowed": [wanted]})
    stayed = {language: len(set(texts) & set(found.texts)) / len(set(texts)) for language, texts in there.items()}
    assert stayed.pop(wanted) > 0.99
    assert next(iter(stayed.values())) < 0.15  # those too short to be sure of
    assert all(line["score"] >= 0.7 for line in found.dropped)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to Jane.Doe+x@mail.example.co.uk, please", "write to [email], please"),
        ("我的邮箱是foo_1@example.com请联系", "我的邮箱是[email]请联系"),
        ("call +44 20 7946 0958 now", "call [phone] now"),
        ("call (415) 555-2671 or 415-555-2672", "call [phone] or [phone]"),
        ("电话13812345678。找小王", "电话[phone]。找小王"),
        ("my Visa is 4111 1111 1111 1111.", "my Visa is [card]."),
        ("卡号6222021234567890128谢谢", "卡号[card]谢谢"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF", "IBAN [iban] BIC COBADEFF"),
        ("pay GB82WEST12345698765432.", "pay [iban]."),
        ("from 192.168.10.254, not", "from [ip], not"),
        ("at 2001:db8:85a3::8a2e:370:7334 since", "at [ip] since"),
    ],
)
def test_personal_data_are_masked_and_the_row_stays(tmp_path: Path, text: str, masked: str) -> None:
    found = by_rules(tmp_path, of(text), personal_data=["email", "phone", "card", "iban", "ip"])
    assert found.texts == [masked]
    assert sum(found.outcome["rules"]["masks"].values()) == masked.count("[")
    assert found.outcome["rules"]["masked_rows"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112 of 2024-05-17 at 12:30:45",  # fails the check of a card
        "DE89 3704 0044 0532 0130 02 is no account",  # fails that of an IBAN
        "version 1.2.3 costs $1,299.99, 999.999.1.1 does not exist",
        "std::vector<int>::iterator; me @home; 5 @ 3.50",
        "ISBN 978-7-5366-9293-0, 第1234567页",
    ],
)
def test_numbers_that_are_nobodys_stay(tmp_path: Path, text: str) -> None:
    assert by_rules(tmp_path, of(text), personal_data=["email", "phone", "card", "iban", "ip"]).texts == [text]


def test_a_kind_that_is_not_named_is_not_masked(tmp_path: Path) -> None:
    text = "a@example.com, +44 20 7946 0958"
    assert by_rules(tmp_path, of(text), personal_data=["phone"]).texts == ["a@example.com, [phone]"]


def test_real_reviews_show_few_masks(tmp_path: Path) -> None:
    rows = of(*english("amazonReviewSnippets")[:1000])
    found = by_rules(tmp_path, rows, personal_data=["email", "phone", "card", "iban", "ip"])
    assert found.outcome["rules"]["masked_rows"] < 5


def test_what_is_dropped_is_masked_too(tmp_path: Path) -> None:
    rows = of("a@example.com", "mail to a@example.com today")
    found = by_rules(tmp_path, rows, personal_data=["email"], length={"min": 10})
    assert [line["row"]["text"] for line in found.dropped] == ["[email]"]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
def test_the_block_list_is_of_whole_words_and_in_chinese_of_any_characters(tmp_path: Path, mark: str) -> None:
    (tmp_path / "blocked.txt").write_text(f"{mark}代购\n\nSpam me\n", encoding="utf-8")
    rows = of("a classic", "What an ASS!", "请找代购帮忙", "do not spam me, ok", "spam mediocre", "我ass你")
    found = by_rules(tmp_path, rows, block_list=["ass"], block_file="blocked.txt")
    assert found.texts == ["a classic", "spam mediocre"]
    assert set(found.reasons().values()) == {"block-list"}
    assert [line["detail"] for line in found.dropped] == ["has 'ASS'", "has '代购'", "has 'spam me'", "has 'ass'"]


def test_a_training_row_that_repair_makes_one_of_the_test_rows_is_dropped(tmp_path: Path) -> None:
    rows, test = of(damaged("C'était né très bien"), "Pas mal"), of("c'était né  très bien")
    found = Cleaned(tmp_path, rows, {"rules": {"near_duplicates": None}}, test)
    assert found.texts == ["Pas mal"]
    assert found.reasons() == {0: "held-out"}


def test_of_the_other_splits_personal_data_are_masked_and_nothing_else_is_changed(tmp_path: Path) -> None:
    test = of("x", "x", damaged("café"), "ask a@example.com or +44 20 7946 0958")
    found = Cleaned(tmp_path, of("A film.", "b@example.com"), {"rules": {"length": {"min": 3}}}, test)
    assert found.splits["test"].to_list() == [*test[:3], *of("ask [email] or [phone]")]
    assert len(found.splits["validation"]) == 0
    counted = found.outcome["held_out"]["test"]
    assert (counted["rows"], counted["masked_rows"], counted["dropped"]) == (4, 1, {})
    assert (counted["masks"]["email"], counted["masks"]["phone"], counted["masks"]["card"]) == (1, 1, 0)
    assert (found.outcome["rules"]["masked_rows"], found.outcome["rules"]["masks"]["phone"]) == (1, 0)
    assert "('test', '1', '1', '1', '0', '0', '0')" in str(section({"clean": found.outcome}))


def test_a_training_row_that_masks_make_one_of_the_test_rows_is_dropped(tmp_path: Path) -> None:
    rows, test = of("mail a@example.com", "Pas mal"), of("mail b@example.com")
    found = Cleaned(tmp_path, rows, {"rules": {"near_duplicates": None}}, test)
    assert found.texts == ["Pas mal"]
    assert found.reasons() == {0: "held-out"}


def test_what_is_exported_judged_and_asked_of_others_is_what_clean_left(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    whole = recipe(tmp_path, datasets=[{"path": "a.csv"}], clean={}, evaluate={"against": {"url": "http://127.0.0.1"}})
    steps = {step.name: step for step in plan(whole, tmp_path)}
    for name in ("data", "clean"):
        (steps[name].folder / ROWS).mkdir(parents=True)
    for name in ("export", "evaluate", "compare"):
        work = Work(whole, steps[name].folder, steps[name].inputs, {}, lambda line: None)
        assert work.rows == steps["clean"].folder / ROWS, name


def test_every_row_is_either_left_or_written_down_with_why(tmp_path: Path) -> None:
    rows = of(*(row["text"] for row in chinese()[::17]), *english("tweets")[:500])
    found = Cleaned(tmp_path, rows, {"rules": {"length": {"min": 8}, "language": {"allowed": ["zh"]}}})
    assert found.outcome["rows"] == {"before": len(rows), "after": len(found.rows)}
    assert sum(found.outcome["dropped"].values()) == len(found.dropped) == len(rows) - len(found.rows)
    gone = found.reasons()
    assert [row["label"] for at, row in enumerate(rows) if at not in gone] == [row["label"] for row in found.rows]
    assert all(line["id"] and line["detail"] and line["row"]["text"] for line in found.dropped)


def test_the_same_recipe_keeps_the_same_rows(tmp_path: Path) -> None:
    rows = list(chinese()[::20])
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = (Cleaned(folder, rows, {}) for folder in folders)
    assert one.rows == two.rows
    assert one.dropped == two.dropped


def test_a_run_after_one_that_was_killed_leaves_nothing_of_it(tmp_path: Path) -> None:
    left = tmp_path / "clean" / "rows" / "train"
    left.mkdir(parents=True)
    (left / "data-00000-of-00007.arrow").write_bytes(b"half a file")
    (tmp_path / "clean" / "dropped.jsonl").write_text("{half a line")
    assert by_rules(tmp_path, of("x", "a film"), length={"min": 2}).texts == ["a film"]
    assert not (left / "data-00000-of-00007.arrow").exists()


def test_answers_move_with_what_stands_before_them(tmp_path: Path) -> None:
    context = "Ask a@example.com or Ann, who lives in Ulm."
    rows = [
        {"question": "Where?", "context": context, "answers": {"text": ["Ulm"], "answer_start": [39]}},
        {"question": "Who?", "context": context, "answers": {"text": ["example"], "answer_start": [6]}},
    ]
    found = by_rules(tmp_path, rows, "question-answering", personal_data=["email"])
    (row,) = found.rows
    (start,), (answer,) = row["answers"]["answer_start"], row["answers"]["text"]
    assert row["context"] == "Ask [email] or Ann, who lives in Ulm."
    assert row["context"][start : start + len(answer)] == "Ulm"
    assert found.reasons() == {1: "answer-misplaced"}


def test_answers_of_test_rows_move_as_well_and_a_row_whose_answer_is_masked_in_part_goes(tmp_path: Path) -> None:
    context = "Ask a@example.com or Ann, who lives in Ulm."
    rows = [{"question": "Who?", "context": "Ask Bo.", "answers": {"text": ["Bo"], "answer_start": [4]}}]
    test = [
        {"question": "Where?", "context": context, "answers": {"text": ["Ulm"], "answer_start": [39]}},
        {"question": "What host?", "context": context, "answers": {"text": ["example"], "answer_start": [6]}},
        {"question": "Which address?", "context": context, "answers": {"text": ["a@example.com"], "answer_start": [4]}},
    ]
    found = Cleaned(tmp_path, rows, {}, test, task="question-answering")
    one, other = found.splits["test"].to_list()
    assert one["answers"] == {"text": ["Ulm"], "answer_start": [33]}
    assert other["answers"] == {"text": ["[email]"], "answer_start": [4]}
    assert one["context"] == other["context"] == "Ask [email] or Ann, who lives in Ulm."
    (line,) = found.dropped
    assert (line["split"], line["index"], line["reason"]) == ("test", 1, "answer-misplaced")
    assert "example.com" not in line["row"]["context"]
    assert found.outcome["held_out"]["test"]["dropped"] == {"answer-misplaced": 1}
    assert found.outcome["rows"] == {"before": 1, "after": 1}


def test_test_rows_of_which_masks_would_leave_none_are_an_error(tmp_path: Path) -> None:
    rows = [{"question": "Who?", "context": "Ask Bo.", "answers": {"text": ["Bo"], "answer_start": [4]}}]
    test = [{"question": "?", "context": "Ask a@example.com", "answers": {"text": ["example"], "answer_start": [6]}}]
    with pytest.raises(RecipeError, match=r"no test row is left: .* rules\.personal_data"):
        Cleaned(tmp_path, rows, {}, test, task="question-answering")


def test_tokens_keep_their_number_and_messages_their_roles(tmp_path: Path) -> None:
    tokens = [{"tokens": ["mail", "a@example.com", "now"], "tags": ["O", "B", "O"]}]
    assert by_rules(tmp_path, tokens, "token-classification", personal_data=["email"]).rows == [
        {"tokens": ["mail", "[email]", "now"], "tags": ["O", "B", "O"]}
    ]
    (tmp_path / "judged").mkdir()
    judged = Cleaned(tmp_path / "judged", [{"tokens": ["Hi"], "tags": ["O"]}], {}, tokens, task="token-classification")
    assert judged.splits["test"].to_list() == [{"tokens": ["mail", "[email]", "now"], "tags": ["O", "B", "O"]}]
    chat = [{"messages": [{"role": "user", "content": "I am a@example.com"}, {"role": "assistant", "content": "Hi"}]}]
    (tmp_path / "chat").mkdir()
    (row,) = by_rules(tmp_path / "chat", chat, "chat", personal_data=["email"]).rows
    assert row["messages"] == [{"role": "user", "content": "I am [email]"}, {"role": "assistant", "content": "Hi"}]


def test_columns_that_are_not_ours_are_cleaned_when_named(tmp_path: Path) -> None:
    rows = [{"text": "b@example.com", "review": "a@example.com", "label": "a"}]
    block = {"columns": ["review"], "rules": NO_RULES | {"personal_data": ["email"]}}
    assert Cleaned(tmp_path, rows, block).rows == [{**rows[0], "review": "[email]"}]


def test_images_beside_the_text_are_kept_bit_for_bit(tmp_path: Path) -> None:
    from PIL import Image as Pillow
    from sklearn.datasets import load_sample_images

    rows: list[dict[str, Any]] = []
    for picture in load_sample_images().images:
        file = io.BytesIO()
        Pillow.fromarray(picture).save(file, "PNG")
        rows.append({"image": {"bytes": file.getvalue(), "path": None}, "caption": "by a@example.com"})
    features = Features(image=Image(), caption=Value("string"))
    found = Cleaned(tmp_path, [*rows, rows[0]], {}, features=features, task="image-captioning")
    assert found.rows == [{**row, "caption": "by [email]"} for row in rows]
    assert found.splits["train"].features == features
    (line,) = found.dropped
    assert b64decode(line["row"]["image"]["bytes"]) == rows[0]["image"]["bytes"]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"columns": ["txt"]}, "clean.columns: the rows have no 'txt', did you mean text?"),
        ({"rules": {"language": {"allowed": ["xx"]}}}, "clean.rules.language.allowed: 'xx' cannot be told"),
        ({"rules": {"block_file": "none.txt"}}, "clean.rules.block_file"),
        ({"rules": {"length": {"min": 500}}}, "no training row is left; dropped were {'too-short': 2}"),
        ({"semantic": {"model": "m", "sample": "none.csv"}}, "clean.semantic.sample"),
        ({"hard": {"model": "./nowhere"}}, "is not a folder"),
        ({"hard": {}}, "clean.hard: 2 rows train no language model, 20 at least: name a 'model'"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_change(tmp_path: Path, block: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Cleaned(tmp_path, of("A film.", "Another one."), block)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"rule": {}}, "clean.rule: there is no such key, did you mean rules?"),
        ({"rules": {"near_duplicate": {}}}, "did you mean near_duplicates?"),
        ({"rules": {"near_duplicates": {"treshold": 0.5}}}, "did you mean threshold?"),
        ({"hard": {"keep": ["hardest"]}}, "clean.hard.keep.0"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, block: dict[str, Any], said: str) -> None:
    path = tmp_path / "recipe.yaml"
    whole = {"name": "t", "task": "t", "model": {"base": "n"}, "datasets": [{"path": "n"}], "clean": block}
    path.write_text(yaml.safe_dump(whole))
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert said in str(caught.value)
