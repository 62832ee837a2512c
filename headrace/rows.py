"""Whether requests of a version share batches, and what that stands on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.views import ReplicaView, VersionView


@dataclass(frozen=True, slots=True)
class Rows:
    """`rows` is "together" or "alone"; `reason` is the importer's or, where that contradicts it, a worker's trial's."""

    rows: str
    reason: str

    def __str__(self) -> str:
        what = "rows run together" if self.rows == "together" else "each request runs alone and whole"
        return f"{what}: {self.reason}" if self.reason else what


def rows_of(version: "VersionView", replicas: Sequence["ReplicaView"]) -> Rows:
    """As the manifest says, unless a worker has found out otherwise."""
    for replica in replicas:
        if found := replica.versions.get(str(version.id), {}).get("alone"):
            return Rows("alone", f"its trial found that {found}")
    batching = version.manifest.batching
    return Rows("alone" if batching.max_rows == 1 else "together", batching.reason)
