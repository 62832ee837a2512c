"""Speech in, what was said out."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from training.tasks.audio import AudioTask, start_extractor
from training.tasks.base import Model, Run
from training.tasks.language import pad_labels
from training.tasks.network import start
from training.tasks.text import tokenizer_source

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from training.recipe.recipe import Recipe

_SIGNS: Final = ("<pad>", "<unk>", "|")  # the third is between words


class SpeechRecognition(AudioTask):
    """Connectionist temporal classification: a character, or none, for each piece of the sound (Wav2Vec2, HuBERT ...).

    The characters are those of the training rows, and the model's head is drawn anew for them, unless
    `model.tokenizer` names a tokenizer to go on with: that of the base.
    """

    name = "speech-recognition"
    about = "what is said in a recording: commands, calls, dictation"
    columns: ClassVar = {"audio": "the speech", "text": "what is said, as it is to be written"}
    wanted = ("text",)
    auto = "AutoModelForCTC"
    metrics = ("word_error_rate", "character_error_rate")
    metric = "word_error_rate"
    higher_is_better = False

    def labels(self, rows: "DatasetDict", recipe: "Recipe") -> tuple[str, ...]:
        """The characters that are written."""
        return recipe.model.labels or tuple(sorted(set("".join(rows["train"]["text"])) - {" "}))

    def own_labels(self, model: Model) -> Sequence[str]:
        vocabulary: dict[str, int] = model.processor.tokenizer.get_vocab()
        return sorted(vocabulary.keys() - set(_SIGNS), key=vocabulary.__getitem__)

    def start(self, recipe: "Recipe", labels: Sequence[str]) -> Model:
        from transformers import Wav2Vec2Processor

        tokenizer = _tokenizer(recipe, labels)
        head = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,  # which also stands for no character
            "ctc_loss_reduction": "mean",  # or the batch size would change the steps
            "ctc_zero_infinity": True,  # of what is said faster than there are pieces
        }
        return Model(start(self.auto, recipe, more=head), Wav2Vec2Processor(start_extractor(recipe), tokenizer))

    def load_processor(self, folder: Path) -> Any:
        from transformers import Wav2Vec2Processor

        return Wav2Vec2Processor.from_pretrained(folder)

    def extractor(self, model: Model) -> Any:
        return model.processor.feature_extractor

    def features(self, rows: "Dataset", model: Model) -> "Dataset":
        def heard(batch: dict[str, list[Any]]) -> dict[str, Any]:
            written = model.processor.tokenizer(batch["text"])["input_ids"]
            return {"sound": self.waves(batch, model), "labels": written}

        return rows.with_transform(heard)

    def collator(self, model: Model) -> Any:
        def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
            import torch

            inputs = self.encode([row["sound"] for row in features], model)
            labels = pad_labels([row["labels"] for row in features])
            return {name: torch.from_numpy(array) for name, array in {**inputs, "labels": labels}.items()}

        return collate

    def predict(self, run: Run, model: Model, rows: "Dataset") -> list[str]:
        """The likeliest character of each piece; repeated ones are one."""
        best = [outputs["logits"][0].argmax(axis=-1).tolist() for outputs in self.one_by_one(run, model, rows)]
        texts: list[str] = model.processor.tokenizer.batch_decode(best)
        return texts

    def measure(self, predictions: Sequence[str], rows: "Dataset") -> dict[str, float]:
        """How many words, and how many characters, were put in, left out or taken for others, for each one there is."""
        import jiwer

        truth = rows["text"][:]
        return {
            "word_error_rate": float(jiwer.wer(truth, list(predictions))),
            "character_error_rate": float(jiwer.cer(truth, list(predictions))),
        }

    def serving(self, model: Model) -> dict[str, Any]:
        return self.serving_fields(model, {"logits": [-1, -1, model.config.vocab_size]})


def _tokenizer(recipe: "Recipe", characters: Sequence[str]) -> Any:
    from transformers import AutoTokenizer, Wav2Vec2CTCTokenizer

    if recipe.model.tokenizer is not None:
        source, pin = tokenizer_source(recipe)
        return AutoTokenizer.from_pretrained(source, **pin)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        tokens = [*_SIGNS, *characters]
        path.write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
        return Wav2Vec2CTCTokenizer(path, bos_token=None, eos_token=None)
