"""What the files of sentence-transformers say of a model: its modules, how long a text may be, its prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from storage.errors import InvalidArtifact
from storage.importers.folder import Folder
from storage.importers.keys import WRITTEN_BY, Table, check_keys, empty, harmless, obeyed, only

MODULES: Final = "modules.json"
SETTINGS: Final = "config_sentence_transformers.json"
# The library looks for these in turn; the first that says anything is read.
TRANSFORMER: Final = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
_ONE_MODEL: Final = "the graph's vectors of tokens are what is pooled"
_IN_GRAPH: Final = harmless("how torch loads the model: it is in the graph already")
_TOKENIZER_ARGUMENTS: Final = ("processor_kwargs", "tokenizer_args", "tokenizer_kwargs")

_TRANSFORMER_KEYS: Final[Table] = {
    "max_seq_length": obeyed("text.max_length"),
    "do_lower_case": obeyed("text.tokenizer_sections"),
    **dict.fromkeys(_TOKENIZER_ARGUMENTS, obeyed("as if it stood in tokenizer_config.json")),
    "tokenizer_name_or_path": only(None, why="the tokenizer is the one in the folder"),
    "transformer_task": only("feature-extraction", why=_ONE_MODEL),
    "modality_config": only(
        {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}, why="texts are all it may take"
    ),
    "module_output_name": only("token_embeddings", why=_ONE_MODEL),
    "processing_kwargs": empty("texts are padded and cut as the tokenizer's own files say"),
    "unpad_inputs": harmless("how fast torch runs it"),
    "query_length": only(None, why="all texts have the one limit max_seq_length"),
    "document_length": only(None, why="all texts have the one limit max_seq_length"),
    "query_expansion": only(None, why="it is for models with many vectors a text"),
    **dict.fromkeys(("model_args", "model_kwargs", "config_args", "config_kwargs"), _IN_GRAPH),
}
_SETTINGS_KEYS: Final[Table] = {
    "__version__": WRITTEN_BY,
    "model_type": only("SentenceTransformer", why="only models with one vector a text are embeddings here"),
    "prompts": obeyed("text.prompts"),
    "default_prompt_name": obeyed("text.default_prompt"),
    "similarity_fn_name": obeyed("text.similarity"),
    "truncate_dim": obeyed("text.dimensions"),
}
_MODULE_KEYS: Final[Table] = {
    "idx": harmless("modules run in the order of the list"),
    "name": harmless("what the module is called"),
    "path": obeyed("where the module's files are looked for"),
    "type": obeyed("text.pooling and text.normalize"),
    "kwargs": empty("modules get nothing from a request but its texts"),
}
_SIMILARITIES: Final = ("cosine", "dot", "euclidean", "manhattan")


@dataclass(frozen=True, slots=True)
class Module:
    """One module of a model: its kind, such as `Pooling`, and its folder."""

    kind: str
    path: str

    @property
    def config(self) -> str:
        return f"{self.path}/config.json"


@dataclass(frozen=True, slots=True)
class Sentence:
    """What the files say. `text` are fields of the manifest's section, `tokenizer` keys for tokenizer_config.json."""

    modules: tuple[Module, ...] = ()
    max_length: Any = None
    lowercase: bool = False
    tokenizer: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


def read_sentence(folder: Folder) -> Sentence:
    """Raises InvalidArtifact where a file says what is not obeyed here."""
    modules = _modules(folder)
    path = next((name for name in TRANSFORMER if folder.json_object(name)), TRANSFORMER[0])
    config = folder.json_object(path)
    check_keys(path, config, _TRANSFORMER_KEYS)
    arguments = [config[key] for key in _TOKENIZER_ARGUMENTS if config.get(key)]
    if not all(isinstance(argument, dict) for argument in arguments):
        raise InvalidArtifact(f"{path}: what it says of the tokenizer must be an object")
    files = {name: file for name in (path, SETTINGS) if (file := folder.find(name)) is not None}
    return Sentence(
        modules=modules,
        max_length=config.get("max_seq_length"),
        lowercase=_flag(path, config, "do_lower_case"),
        tokenizer={key: value for argument in arguments for key, value in argument.items()},
        text=_settings(folder),
        files=files,
    )


def _settings(folder: Folder) -> dict[str, Any]:
    config = folder.json_object(SETTINGS)
    check_keys(SETTINGS, config, _SETTINGS_KEYS)
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str | None) for prompt in prompts.values()):
        raise InvalidArtifact(f"{SETTINGS}: prompts must map names to texts")
    text: dict[str, Any] = {}
    if prompts:
        text["prompts"] = {name: prompt or "" for name, prompt in prompts.items()}
    if (default := config.get("default_prompt_name")) is not None:
        if default in ("query", "document"):
            text["prompts"] = {default: "", **text.get("prompts", {})}  # the library has these two for every model
        if default not in text.get("prompts", {}):
            known = ", ".join(map(repr, prompts)) or "none"
            raise InvalidArtifact(f"{SETTINGS}: default_prompt_name is {default!r:.40}, the prompts are {known}")
        text["default_prompt"] = default
    if (similarity := config.get("similarity_fn_name")) in _SIMILARITIES:
        text["similarity"] = similarity
    elif similarity is not None:
        raise InvalidArtifact(
            f"{SETTINGS}: similarity_fn_name is {similarity!r:.40}, it must be one of {', '.join(_SIMILARITIES)}"
        )
    if (dimensions := config.get("truncate_dim")) is not None:
        text["dimensions"] = dimensions
    return text


def _modules(folder: Folder) -> tuple[Module, ...]:
    modules = folder.json(MODULES)
    if modules is None:
        return ()
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise InvalidArtifact(f"{MODULES} must be a list of modules, each with a type and a path")
    for module in modules:
        check_keys(MODULES, module, _MODULE_KEYS)
    try:
        return tuple(Module(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in modules)
    except KeyError as error:
        raise InvalidArtifact(f"{MODULES} must be a list of modules, each with a type and a path") from error


def _flag(path: str, config: Mapping[str, Any], key: str) -> bool:
    value = config.get(key)
    if not isinstance(value, bool | None):
        raise InvalidArtifact(f"{path}: {key} must be true or false, it is {value!r:.40}")
    return bool(value)
