"""The manifest that the registry's tests publish."""

from storage.manifest import FileEntry, Manifest, TensorSpec


def manifest(description: str = "first", name: str = "digits") -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 64))
    file = FileEntry(path="model.onnx", sha256="ab" * 32, size=3)
    return Manifest(
        name=name, model="model.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,), description=description
    )
