"""The artifact store on a shelf: files in a folder, by a URL of its own."""

from pathlib import Path

from storage.folder_store import FolderStore

PREFIX = "shelf://"


class ShelfStore(FolderStore):
    """Files under the folder `shelf` of `shelf://folder`."""

    def __init__(self, url: str) -> None:
        super().__init__(Path(url.removeprefix(PREFIX)) / "shelf")
