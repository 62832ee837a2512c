"""What can go wrong with the registry and the artifacts. These errors know no HTTP.

The docstring of a class is its message unless it is raised with a better one.
"""


class StorageError(Exception):
    """Something went wrong with the registry or the artifacts."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UnknownModel(StorageError):
    """There is no model by that name."""


class UnknownVersion(StorageError):
    """The model has no such version."""


class UnknownAlias(StorageError):
    """The model has no such alias."""


class NothingToRollBackTo(StorageError):
    """The alias has pointed to one version only: promote another one instead."""


class InvalidAlias(StorageError):
    """An alias is 1 to 64 letters, digits, '.', '_' and '-', and not digits only."""


class InvalidRoute(StorageError):
    """A route maps versions or aliases to shares from 0 to a billion, of which one is above 0."""


class VersionInUse(StorageError):
    """An alias or a route names this version: point it elsewhere first."""


class AliasInUse(StorageError):
    """A route names this alias, or requests that name no version need it."""


class InvalidArtifact(StorageError):
    """The artifact is not what its manifest says, or not something that can be served."""


class MissingFile(StorageError):
    """The artifact store has no such file: upload it first."""


class CorruptFile(StorageError):
    """The file's bytes are not the ones that its sha256 names: upload it again."""


class InvalidUrl(StorageError):
    """The URL names no database or artifact store that is supported."""


class NotMigrated(StorageError):
    """The database lacks tables that this release needs: run `python -m storage.migrate`."""


class Drift(StorageError):
    """The database's tables are not the ones that the code describes."""


class Unavailable(StorageError):
    """The database or the artifact store does not answer. The same call may succeed later."""
