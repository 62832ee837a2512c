"""A version that did not load: whose fault that is, what is reported, and when it is tried again."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

from model_service.engines.plain import clean_message
from model_service.golden import GoldenMismatch
from model_service.slots import Slot
from model_service.trial import TrialFailed, TrialTimedOut, machine_at_fault, machine_lacks
from model_service.warmup import WarmUpFailed
from storage.errors import CorruptFile, InvalidArtifact, Unavailable

log = logging.getLogger(__name__)

LONGEST_BACKOFF_S: Final = 60.0
# What this machine has not got seldom comes by itself, and each attempt is a whole trial: memory for the version may
# come, so that is tried ever less often; a device or a library does not, unless somebody installs it.
LONGEST_UNFIT_BACKOFF_S: Final = 4 * 3600.0
# Whatever else goes wrong (no such device, no memory, no answer from the artifact store or not the file) is no fault of
# the version's, and so are these where memory or the disk is behind them.
VERSION_AT_FAULT: Final = (TrialFailed, GoldenMismatch, WarmUpFailed, CorruptFile, InvalidArtifact)
# A graph that hangs and a machine that is too busy look alike, until it has happened this often, in a row on each
# worker and on all of them together.
TIMEOUTS: Final = 3
# While another worker still loads a version it may prove good there. But workers that keep failing, each at its own
# pace, must not wait for one another for ever.
ATTEMPTS_BESIDE_OTHERS: Final = 5


def take_down(slot: Slot, error: Exception, cache_dir: Path) -> None:
    """Have the slot say that its version did not load, why, and when it is tried again."""
    before, reason = slot.reason, clean_message(str(error) or repr(error), cache_dir / slot.version.digest, cache_dir)
    slot.attempts += 1
    slot.timeouts = slot.timeouts + 1 if isinstance(error, TrialTimedOut) else 0
    slot.lacking = machine_lacks(error)
    pause = _pause_s(error, slot.attempts)
    slot.state, slot.reason, slot.retry_at = "failed", reason, monotonic() + pause
    if slot.lacking:
        slot.reason += f" (the next attempt in {pause / 60:.0f} min; to have one now, unload and load the model)"
    elif pause > LONGEST_BACKOFF_S:
        slot.reason += f" (attempt {slot.attempts}; the next one in {pause / 60:.0f} min, or when room is made)"
    # The same for the same reason is not said at each attempt.
    level = logging.DEBUG if before is not None and before.startswith(reason) else logging.WARNING
    log.log(level, "%s does not load: %s", slot, slot.reason)


def is_hopeless(slot: Slot, error: Exception, others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no worker shall load the version any more; `others` is what the other ones tell of it."""
    at_fault = isinstance(error, VERSION_AT_FAULT) and not machine_at_fault(error)
    timeouts = slot.timeouts and slot.timeouts + sum(there.get("timeouts", 0) for there in others)
    return (at_fault or timeouts >= TIMEOUTS) and not _may_serve(others, slot.attempts)


def _may_serve(others: Sequence[Mapping[str, Any]], attempts: int) -> bool:
    """A version that another worker serves is not to be taken away from it because it fails here."""
    states = {there["state"] for there in others if not there.get("timeouts")}
    return "ready" in states or ("loading" in states and attempts < ATTEMPTS_BESIDE_OTHERS)


def _pause_s(error: Exception, attempts: int) -> float:
    """How long until the next attempt after so many that have failed, the last one with `error`."""
    if machine_lacks(error):
        return LONGEST_UNFIT_BACKOFF_S
    unfit = machine_at_fault(error) and not isinstance(error, Unavailable | OSError)
    return min(2.0 ** min(attempts, 20), LONGEST_UNFIT_BACKOFF_S if unfit else LONGEST_BACKOFF_S)
