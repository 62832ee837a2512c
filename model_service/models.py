"""The versions that this worker has loaded, and which of them a request is for."""

from collections.abc import Iterator

from model_service.loaded_model import LoadedModel
from wire.errors import ModelNotFound


class Models:
    """The loaded versions of this worker, by model and number."""

    def __init__(self) -> None:
        self._loaded: dict[str, dict[int, LoadedModel]] = {}

    def __iter__(self) -> Iterator[LoadedModel]:
        return (model for versions in self._loaded.values() for model in versions.values())

    def add(self, model: LoadedModel) -> None:
        self._loaded.setdefault(model.name, {})[model.number] = model

    def remove(self, model: LoadedModel) -> None:
        versions = self._loaded.get(model.name, {})
        # A model that was removed and added anew begins with the same numbers: what is there may be its successor.
        if versions.get(model.number) is model:
            del versions[model.number]
        if not versions:
            self._loaded.pop(model.name, None)

    def get(self, name: str, version: str | None = None) -> LoadedModel:
        """That version, or the highest one. Raises ModelNotFound, saying what is here."""
        versions = self._loaded.get(name)
        if versions is None:
            raise ModelNotFound(f"the model '{name}' is not loaded on this worker")
        if version is None:
            return versions[max(versions)]
        model = versions.get(int(version)) if version.isdecimal() and len(version) < 10 else None
        if model is None:
            known = ", ".join(map(str, sorted(versions)))
            raise ModelNotFound(
                f"version {version} of the model '{name}' is not loaded on this worker; it has: {known}"
            )
        return model

    def versions(self, name: str) -> list[int]:
        return sorted(self._loaded.get(name, ()))
