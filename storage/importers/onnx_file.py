"""A bare ONNX file: all that is known of the model stands in its graph."""

from pathlib import Path

from storage.errors import InvalidArtifact
from storage.importers.beside import note_on_file
from storage.importers.draft import Draft
from storage.importers.folder import Folder
from storage.importers.graph import read_graph

EXPORT = "export it to ONNX first, for example with torch.onnx.export, skl2onnx or optimum-cli export onnx"


def import_onnx_file(file: Path) -> Draft:
    """The model in an `.onnx` file, with the files of its external data. Raises InvalidArtifact where it is another."""
    if file.suffix != ".onnx":
        raise InvalidArtifact(f"{file.name} is not an .onnx file: {EXPORT}")
    # The file's folder is resolved, never the file: beside the target of a link lie other files.
    folder = Folder.at(file.parent)
    graph = read_graph(folder, file.name)
    return Draft(file.stem, graph, notes=note_on_file(folder, graph))
