"""The table of tasks: what a recipe's `task` may be."""

from collections.abc import Iterator
from typing import Final

from training.recipe.block import RecipeError, nearest
from training.tasks.audio_classification import AudioClassification
from training.tasks.base import Task
from training.tasks.causal_lm import CausalLM
from training.tasks.chat import Chat
from training.tasks.dpo import DPO
from training.tasks.embedding import Embedding
from training.tasks.forecasting import Forecasting
from training.tasks.image_captioning import ImageCaptioning
from training.tasks.image_classification import ImageClassification
from training.tasks.image_embedding import ImageEmbedding
from training.tasks.image_segmentation import ImageSegmentation
from training.tasks.masked_lm import MaskedLM
from training.tasks.object_detection import ObjectDetection
from training.tasks.pair_classification import PairClassification
from training.tasks.question_answering import QuestionAnswering
from training.tasks.reranking import Reranking
from training.tasks.speech_recognition import SpeechRecognition
from training.tasks.summarisation import Summarisation
from training.tasks.tabular import TabularClassification, TabularRegression
from training.tasks.text_classification import TextClassification
from training.tasks.token_classification import TokenClassification
from training.tasks.translation import Translation
from training.tasks.zero_shot import ZeroShot

# None of these modules imports torch before it is asked for work.
TASKS: Final[tuple[type[Task], ...]] = (
    TextClassification,
    PairClassification,
    TokenClassification,
    QuestionAnswering,
    Embedding,
    Reranking,
    ZeroShot,
    MaskedLM,
    CausalLM,
    Chat,
    DPO,
    Summarisation,
    Translation,
    ImageClassification,
    ObjectDetection,
    ImageSegmentation,
    ImageEmbedding,
    ImageCaptioning,
    AudioClassification,
    SpeechRecognition,
    TabularClassification,
    TabularRegression,
    Forecasting,
)


def open_task(name: str) -> Task:
    """The task of that name. Raises RecipeError, with the nearest there is, where there is none."""
    for task in TASKS:
        if task.name == name:
            return task()
    raise RecipeError(f"task: there is no {name!r}{nearest(name, names())} `headrace train templates` lists them")


def names() -> Iterator[str]:
    """The names of all tasks, in the order of the table."""
    return (task.name for task in TASKS)
