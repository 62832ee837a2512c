"""Whether what somebody says of a graph's tensors is so."""

from collections.abc import Sequence

from storage.errors import InvalidArtifact
from storage.importers.graph import Graph
from storage.manifest import Manifest, TensorSpec


def check_tensors(kind: str, told: Sequence[TensorSpec], present: Sequence[TensorSpec], source: str) -> None:
    """Raises InvalidArtifact unless each of `told` is a tensor of the graph, and no input of the graph is left out.

    A dimension of -1 on either side agrees with any size.
    """
    by_name = {spec.name: spec for spec in present}
    for spec in told:
        if (found := by_name.get(spec.name)) is None:
            names = ", ".join(repr(name) for name in by_name)
            raise InvalidArtifact(f"{source} has the {kind} '{spec.name}', the graph's {kind}s are {names}")
        if spec.datatype != found.datatype or not _fits(spec.shape, found.shape):
            raise InvalidArtifact(
                f"{source} says that the {kind} '{spec.name}' is {spec.datatype} {list(spec.shape)},"
                f" in the graph it is {found.datatype} {list(found.shape)}"
            )
    if kind == "input" and (missing := by_name.keys() - {spec.name for spec in told}):
        raise InvalidArtifact(f"{source} leaves out what the graph needs: {', '.join(sorted(missing))}")


def check_rows(manifest: Manifest, graph: Graph) -> None:
    """Raises InvalidArtifact where requests are to share a batch and the graph has no dimension of rows for them."""
    specs = (*graph.inputs, *graph.outputs)
    if manifest.batching.max_rows > 1 and (fixed := [spec for spec in specs if spec.shape[:1] != (-1,)]):
        raise InvalidArtifact(
            f"batching.max_rows is {manifest.batching.max_rows}, but the graph's '{fixed[0].name}' has the shape"
            f" {list(fixed[0].shape)}: export it with a first dimension of any size, or set batching.max_rows to 1"
        )


def _fits(told: Sequence[int], present: Sequence[int]) -> bool:
    return len(told) == len(present) and all(-1 in (a, b) or a == b for a, b in zip(told, present, strict=True))
