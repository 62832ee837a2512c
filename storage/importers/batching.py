"""Whether requests share batches: only where rows are known to be independent, or where somebody says so."""

from collections.abc import Mapping
from typing import Any, Final

from storage.importers.rows import Shown

_SHOWN: Final = "each row of the graph's outputs is made of the same row of its inputs"
_SCALED: Final = (
    "dynamic quantisation takes its scale from a whole batch, so that one row can spoil the others: rows run together"
    " where batching.batch_invariant is false and batching.tolerance says how far answers may be off"
)


def decide(batching: Mapping[str, Any], rows: Shown, told: int | None = None) -> dict[str, Any]:
    """The manifest's section with `max_rows` 1 where rows are not known to be independent, and with the reason.

    `told` is a `max_rows` that somebody has set: it stays, and a worker's trial may contradict it.
    """
    why_not = rows.why_not
    bounded = rows.bounded or (batching.get("batch_invariant") is False and batching.get("tolerance") is not None)
    if why_not is None and rows.scaled and not bounded:
        why_not = _SCALED
    if why_not is None:
        beside = ", but for the scale that dynamic quantisation takes from a whole batch" if rows.scaled else ""
        return {**batching, "reason": "batching.max_rows is 1" if batching.get("max_rows") == 1 else _SHOWN + beside}
    if told is None or told == 1:
        return {**batching, "max_rows": 1, "reason": why_not}
    return {**batching, "reason": f"batching.max_rows was set, though rows are not known to be independent: {why_not}"}
