"""What stages return of themselves, in small, and what a report must say of it."""

from typing import Any

EVALUATED = {
    "rows": 4,
    "confidence": 0.95,
    "served": "int8",
    "metrics": {
        name: {"accuracy": {"value": 0.75, "low": 0.5, "high": 1.0}, "f1": {"value": 0.7, "low": 0.4, "high": 0.9}}
        for name in ("torch", "fp32", "int8")
    },
    "classes": {
        "labels": ["no", "yes"],
        "confusion": [[2, 0], [1, 1]],
        "by_label": {name: {"precision": 0.5, "recall": 0.5, "f1": 0.5, "rows": 2} for name in ("no", "yes")},
        "reliability": [{"low": 0.8, "high": 0.9, "count": 4, "score": 0.85, "right": 0.75}],
        "calibration_error": 0.1,
    },
    "mistakes": [{"text": "<b>not</b> | bad", "label": "yes", "answer": "no", "score": 0.9}],
}
COMPARED = {
    "url": "http://127.0.0.1:8000",
    "alias": "stable",
    "model": "films",
    "version": 3,
    "metrics": {"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75}},
    "differences": {"accuracy": {"value": 0.25, "low": 0.0, "high": 0.5}},
}
TRIED: dict[str, Any] = {
    "variant": "int8", "threads": 2, "instances": 1, "max_rows": 8, "rows_per_s": 500.0, "p50_ms": 1.0, "p99_ms": 2.0,
    "memory_mb": 100.0, "error": "",
}  # fmt: skip
EXPORTED = {
    "exporter": "transformers.exporters",
    "opset": 20,
    "fused": {},
    "not_fused": "no pattern",
    "served": "int8",
    "variants": {
        "int8": {"bytes": 2_000_000, "largest": 0.1, "tolerance": 1.0, "mean": 0.01, "from_base": 2, "neighbours": 0.0}
    },
    "tuned": {
        "best": TRIED | {"max_rows": 1, "rows_per_s": 400.0, "p99_ms": 1.5},
        "tried": [TRIED | {"max_rows": 1, "rows_per_s": 400.0, "p99_ms": 1.5}, TRIED],
    },
}  # fmt: skip
CLEANED = {
    "rows": {"before": 9_100, "after": 8_014},
    "dropped": {"too-short": 1_000, "low-quality": 66, "perplexity-high": 20},
    "rules": {"repaired_rows": 11, "masked_rows": 31, "masks": {"email": 41, "phone": 0}, "conflicting_rows": 12,
              "dropped": {"too-short": 1_000}},
    "held_out": {
        "validation": {"rows": 0, "masked_rows": 0, "masks": {}, "dropped": {}},
        "test": {"rows": 60, "masked_rows": 7, "masks": {"email": 8, "phone": 2}, "dropped": {"answer-misplaced": 3}},
    },
    "semantic": {"sample_rows": 260, "sample_good": 203, "accuracy": 0.6269, "roc_auc": 0.5672,
                 "dropped": {"low-quality": 66}},
    "hard": {"bounds": [354.1, 1771.2], "median": 905.04, "rows": {"low": 21, "medium": 900, "high": 20},
             "dropped": {"perplexity-high": 20}},
}  # fmt: skip
AUGMENTED = {
    "rows": {"before": 8_014, "after": 15_523},
    "text": {
        "language": "en",
        "synonym_replacement": {
            "made": 7_500, "unchanged_rows": 514,
            "examples": [{"before": "a <b>fine</b> film", "after": "a good film"}],
        },
    },
    "image": {"methods": ["random_crop", "color_jitter"], "made": 9},
}  # fmt: skip
PROFILED = {
    "bottleneck": {
        "largest": "padding", "waiting": 0.05, "optimizer": 0.1, "products": 0.6, "other": 0.25, "padding": 0.55,
        "operators": [{"operator": "aten::addmm", "part": 0.4, "calls": 1_440}],
    },
    "suggestions": [
        {"change": {"train_sampling_strategy": "group_by_length"}, "why": "55% of the tokens is padding",
         "same_result": False, "before": [100.0, 101.0, 99.0], "after": [150.0, 149.0, 151.0], "gain": 0.5,
         "verdict": "faster"},
        {"change": {"bf16": True}, "why": "60% of the time", "same_result": False, "before": [100.0, 120.0],
         "after": [101.0, 90.0], "gain": -0.132, "verdict": "no clear difference"},
    ],
    "threads": 1,
}  # fmt: skip
REGISTERED = {
    "model": "films",
    "version": 4,
    "digest": "d" * 64,
    "alias": "candidate",
    "promoted": None,
    "gates": [{"held": False, "line": "accuracy 0.7500, at least 0.8"}],
}
OUTCOMES: dict[str, dict[str, Any]] = {
    "data": {
        "fingerprint": "f" * 64,
        "rows": {"train": 10, "test": 4},
        "labels": {"train": {"yes": 6, "no": 4}},
        "dropped": {"duplicate": 3, "no text": 1},
    },
    "clean": CLEANED,
    "augment": AUGMENTED,
    "profile": PROFILED,
    "train": {"train_loss": 0.3, "steps": 2},
    "export": EXPORTED,
    "evaluate": EVALUATED,
    "compare": COMPARED,
    "register": REGISTERED,
}

# What must stand together, in one row of a table or one line of text, whichever form the report has.
TOLD = {
    "clean": [
        ("9,100 training rows", "8,014 are left"),
        ("rules", "too-short", "1,000"),
        ("semantic", "low-quality", "66"),
        ("hard", "perplexity-high", "20"),
        ("encoding was repaired: 11", "another label: 12"),
        ("split", "rows with masks", "email", "phone"),
        ("train", "31", "41", "0"),
        ("test", "7", "8", "2"),
        ("test rows", "3", "answer-misplaced"),
        ("260 marked texts", "203", "ROC", "0.5672", "0.6269"),
        ("median is 905", "354.1 to 1771"),
        ("medium", "900"),
    ],
    "augment": [
        ("8,014 training rows became 15,523", "en"),
        ("text", "synonym_replacement", "7,500", "514"),
        ("image", "random_crop, color_jitter", "9"),
        ("a <b>fine</b> film", "a good film"),
    ],
    "profile": [
        ("Most of the time", "padding", "threads: 1"),
        ("aten::addmm", "40.0%", "1,440"),
        ("train_sampling_strategy: group_by_length", "100", "150", "+50.0%", "faster", "no"),
        ("bf16: true", "-13.2%", "no clear difference"),
        ("group_by_length", "55% of the tokens is padding"),
    ],
    "export": [("int8 (served)", "400", "1.5")],
}
