"""A model on the Hugging Face hub: `hf:owner/name@revision`. Only the files that are served are fetched."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Any, Final

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from storage.errors import InvalidArtifact
from storage.importers.draft import Draft
from storage.importers.folder import Folder
from storage.importers.graph import external_data_of
from storage.importers.huggingface import KEPT, MODULE_CONFIGS, choose_model, import_folder

PREFIX: Final = "hf:"
_SOURCE: Final = re.compile(r"hf:(?P<repository>[^/@\s]+/[^/@\s]+)(?:@(?P<revision>\S+))?")


def import_hub(
    source: str, settings: Mapping[str, Any], *, endpoint: str | None = None, cache: Path | None = None
) -> Draft:
    """The model at `source`, by way of the hub's cache on this machine.

    `endpoint` and `cache` are HF_ENDPOINT's and HF_HOME's unless given; the token is the one that the hub's own tools
    use. Raises InvalidArtifact where the hub does not have it, or does not hand it out.
    """
    if (match := _SOURCE.fullmatch(source)) is None:
        raise InvalidArtifact(f"{source!r} names no model of the hub: write hf:owner/name or hf:owner/name@revision")
    repository = match["repository"]
    with _explain_errors(source):
        info = HfApi(endpoint=endpoint).model_info(repository, revision=match["revision"])
    paths = [file.rfilename for file in info.siblings or ()]
    shallow = [path for path in paths if path.count("/") < 2 or path == settings.get("model")]
    model = choose_model(shallow, settings, source)

    def fetch(*patterns: str) -> Folder:
        # By the commit, not by the branch: it may move on while we fetch.
        with _explain_errors(source):
            return Folder.at(
                Path(
                    snapshot_download(
                        repository, revision=info.sha, allow_patterns=[*patterns], endpoint=endpoint, cache_dir=cache
                    )
                )
            )

    folder = fetch(*map(escape, (model, *KEPT, *_list_tokenizer(settings))), MODULE_CONFIGS)
    # Only the graph knows by which names its weights lie beside it.
    if external := external_data_of(folder, model) & set(paths):
        folder = fetch(*map(escape, sorted(external)))
    draft = import_folder(folder, {**settings, "model": model}, name=repository.partition("/")[2], paths=shallow)
    return replace(draft, fields={**draft.fields, "provenance": {"repository": repository, "commit": info.sha}})


def _list_tokenizer(settings: Mapping[str, Any]) -> list[str]:
    tokenizer = settings.get("text", {}).get("tokenizer")
    return [] if tokenizer is None else [tokenizer]


@contextmanager
def _explain_errors(source: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise InvalidArtifact(
            f"{source} is gated: accept its conditions on the hub, then set HF_TOKEN or run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise InvalidArtifact(
            f"the hub has no {source}, or keeps it private: check the name, or set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise InvalidArtifact(f"the hub has no such revision as in {source}: name a branch, tag or commit") from error
    except HFValidationError as error:
        raise InvalidArtifact(f"{source} names no model of the hub: {error}") from error
    except OfflineModeIsEnabled as error:
        raise InvalidArtifact("HF_HUB_OFFLINE is set, so the hub is not asked: unset it, or import a folder") from error
    except Exception as error:  # the hub's library lets its HTTP client's errors through, and has changed clients
        raise InvalidArtifact(
            f"fetching {source} failed: {error}; try again, or download the model and import its folder"
        ) from error
