"""A card: a file `.card` of JSON that names a graph beside it."""

from pathlib import Path

from storage.importers.draft import Draft
from storage.importers.folder import Folder
from storage.importers.graph import read_graph


def import_card(file: Path) -> Draft:
    """The model that the card is about."""
    folder = Folder.at(file.parent)
    card = folder.json_object(file.name)
    return Draft(card["title"], read_graph(folder, card["graph"]), {"description": card["about"]})
