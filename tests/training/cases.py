"""What each task is tried on: small real data, a small model, and how long it trains."""

from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer, load_diabetes
from transformers import AutoTokenizer

from tests.training import task_data, task_media, train_stage
from tests.training.train_stage import MINILM, SMALL
from training.tasks.source import locate

DECODER = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 30522, "max_position_embeddings": 64,
    "tie_word_embeddings": True, "bos_token_id": 101, "eos_token_id": 102, "pad_token_id": 0,
}  # fmt: skip
WRITER = {
    "model_type": "bart", "d_model": 64, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 30522,
    "max_position_embeddings": 64, "decoder_start_token_id": 101, "bos_token_id": 101, "eos_token_id": 102,
    "pad_token_id": 0, "forced_eos_token_id": None, "dropout": 0.0,
}  # fmt: skip
CONVOLUTIONS = {
    "model_type": "resnet", "num_channels": 1, "embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1],
    "layer_type": "basic",
}  # fmt: skip
GREYS = {"size": {"height": 16, "width": 16}, "image_mean": [0.3], "image_std": [0.4]}
FORECASTER = {
    "model_type": "patchtst", "num_input_channels": 1, "context_length": 32, "prediction_length": 8,
    "patch_length": 4, "patch_stride": 4, "d_model": 16, "num_attention_heads": 2, "num_hidden_layers": 2,
    "ffn_dim": 32, "loss": "mse",
}  # fmt: skip
SHEET = {"size": {"height": 48, "width": 48}, "image_mean": [0.1], "image_std": [0.3]}
DETECTOR = {
    "model_type": "conditional_detr", "num_channels": 1,
    "backbone_config": {**CONVOLUTIONS, "out_features": ["stage2"]}, "d_model": 64, "encoder_layers": 1,
    "decoder_layers": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "num_queries": 8, "dropout": 0.0,
}  # fmt: skip
SEGMENTER = {
    "model_type": "segformer", "num_channels": 1, "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1],
    "hidden_sizes": [16, 32], "patch_sizes": [3, 3], "strides": [2, 2], "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2], "decoder_hidden_size": 32, "drop_path_rate": 0.0, "classifier_dropout_prob": 0.0,
}  # fmt: skip
CAPTIONER = {
    "model_type": "vision-encoder-decoder",
    "encoder": {
        "model_type": "vit", "image_size": 32, "patch_size": 8, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 128,
    },
    "decoder": {
        "model_type": "bert", "vocab_size": 30522, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 128, "max_position_embeddings": 64, "is_decoder": True, "add_cross_attention": True,
    },
}  # fmt: skip
LISTENER = {
    "model_type": "audio-spectrogram-transformer", "num_mel_bins": 32, "max_length": 128, "patch_size": 16,
    "frequency_stride": 16, "time_stride": 16, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 96,
}  # fmt: skip
SPECTROGRAMS = {"sampling_rate": 8000, "num_mel_bins": 32, "max_length": 128}
TYPIST = {
    "model_type": "wav2vec2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "conv_dim": [32, 32, 32, 32], "conv_stride": [5, 4, 2, 2], "conv_kernel": [10, 8, 4, 4],
    "feat_extract_norm": "layer", "do_stable_layer_norm": True, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4, "apply_spec_augment": False, "layerdrop": 0.0, "hidden_dropout": 0.0,
    "attention_dropout": 0.0, "activation_dropout": 0.0, "final_dropout": 0.0,
}  # fmt: skip
SAMPLES = {"sampling_rate": 8000, "return_attention_mask": True}
NEW = {"tokenizer": MINILM, "max_length": 32}
TUMOURS = {
    "model_type": "headrace-tabular",
    "columns": [name.replace(" ", "_") for name in load_breast_cancer().feature_names],
}
DIABETES = {"model_type": "headrace-tabular", "columns": list(load_diabetes().feature_names)}


def case(name: str) -> tuple[Any, dict[str, Any], dict[str, Any], float]:
    """The rows, the model block, the train block, and what part of the first held-out loss may be left."""
    match name:
        case "pair-classification":
            return task_data.duels, SMALL, {"learning_rate": 5e-4, "max_steps": 80}, 0.9
        case "token-classification":
            return task_data.capitals, SMALL, {"learning_rate": 5e-4, "max_steps": 30}, 0.9
        case "question-answering":
            return task_data.ends, SMALL, {"learning_rate": 5e-4, "max_steps": 60}, 0.9
        case "embedding":
            return task_data.halves, SMALL, {"learning_rate": 1e-4, "max_steps": 30}, 0.97
        case "reranking":
            return task_data.tweeted, SMALL, {"learning_rate": 5e-4, "max_steps": 30}, 0.9
        case "masked-lm":
            return task_data.texts, SMALL, {"learning_rate": 1e-3, "max_steps": 20}, 0.9
        case "causal-lm":
            return task_data.texts, {**NEW, "config": DECODER}, {"learning_rate": 5e-3, "max_steps": 60}, 0.9
        case "chat":
            return (
                task_data.verdicts,
                {"config": DECODER, "max_length": 32},
                {"learning_rate": 1e-2, "max_steps": 30},
                0.5,
            )
        case "dpo":
            return task_data.preferences, {**NEW, "config": DECODER}, {"learning_rate": 5e-3, "max_steps": 30}, 0.9
        case "zero-shot":
            return task_data.topics, SMALL, {"learning_rate": 5e-4, "max_steps": 60}, 0.9
        case "summarisation" | "translation":
            return task_data.openings, {**NEW, "config": WRITER}, {"learning_rate": 5e-3, "max_steps": 40}, 0.9
        case "image-classification":
            return (
                task_data.digits,
                {"config": CONVOLUTIONS, "processor": GREYS},
                {"learning_rate": 3e-3, "max_steps": 60},
                0.5,
            )
        case "object-detection":
            return (
                task_media.boxes,
                {"config": DETECTOR, "processor": SHEET},
                {"learning_rate": 3e-3, "max_steps": 120},
                0.9,
            )
        case "image-segmentation":
            return (
                task_media.masks,
                {"config": SEGMENTER, "processor": SHEET},
                {"learning_rate": 5e-3, "max_steps": 80},
                0.5,
            )
        case "image-embedding":
            return (
                task_data.digits,
                {"config": CONVOLUTIONS, "processor": GREYS},
                {"learning_rate": 3e-3, "max_steps": 60},
                0.9,
            )
        case "image-captioning":
            picture = {"size": {"height": 32, "width": 32}}
            return (
                task_media.stamps,
                {**NEW, "config": CAPTIONER, "processor": picture},
                {"learning_rate": 3e-3, "max_steps": 30},
                0.9,
            )
        case "audio-classification":
            return (
                task_media.languages,
                {"config": LISTENER, "processor": SPECTROGRAMS},
                {"learning_rate": 1e-3, "max_steps": 60},
                0.7,
            )
        case "speech-recognition":
            return (
                task_media.spoken,
                {"config": TYPIST, "processor": SAMPLES},
                {"learning_rate": 2e-3, "max_steps": 40},
                0.9,
            )
        case "tabular-classification":
            return task_data.tumours, {"config": TUMOURS}, {"learning_rate": 3e-3, "max_steps": 60}, 0.5
        case "tabular-regression":
            return task_data.diabetes, {"config": DIABETES}, {"learning_rate": 3e-3, "max_steps": 80}, 0.8
        case "forecasting":
            return task_data.heights, {"config": FORECASTER}, {"learning_rate": 3e-3, "max_steps": 60}, 0.9
        case _:
            return labelled, SMALL, {"learning_rate": 5e-4, "max_steps": 30}, 0.9


def labelled(count: int) -> task_data.Rows:
    """Sentences, and where each was written."""
    return list(train_stage.rows(count, 50)["train"])


def with_chat_template(folder: Path) -> Path:
    """A tokenizer that knows how a conversation is written down, saved there."""
    tokenizer = AutoTokenizer.from_pretrained(locate(MINILM, folder))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} [SEP] {% endfor %}"
        "{% if add_generation_prompt %}assistant : {% endif %}"
    )
    tokenizer.save_pretrained(folder)
    return folder
