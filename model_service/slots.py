"""A version on this worker, from the moment that it is wanted to its end."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from model_service.loaded_model import LoadedModel
from storage.views import DesiredVersion

State = Literal["loading", "ready", "failed", "unloading"]
STATES: Final[tuple[State, ...]] = get_args(State)


@dataclass(slots=True, eq=False)
class Slot:
    """A version on this worker. `unload_at` and `retry_at` are monotonic seconds.

    `proven` is one that has passed its trial, or that another worker has ready; `overdue` is one that took all the time
    there was, the last time, and `lacking` one for which this machine lacked something. `timeouts` counts its trials in
    a row that took too long. `alone` says why its requests run alone and whole, where a trial has found it out.
    """

    version: DesiredVersion
    state: State = "loading"
    reason: str | None = None
    alone: str | None = None
    model: LoadedModel | None = None
    loading: asyncio.Task[None] | None = None
    proven: bool = False
    overdue: bool = False
    lacking: bool = False
    attempts: int = 0
    timeouts: int = 0
    retry_at: float = 0.0
    unload_at: float | None = None

    def __str__(self) -> str:
        return f"{self.version.model} version {self.version.number}"

    def report(self) -> dict[str, Any]:
        """The version's state here, for the registry and, through it, the gateways."""
        told: dict[str, Any] = {"state": self.state, "reason": self.reason}
        if self.state == "loading" and not self.proven:
            told["trial"] = True
        if self.timeouts:
            told["timeouts"] = self.timeouts
        if self.lacking:
            told["lacking"] = True
        if self.alone is not None:
            told["alone"] = self.alone
        if self.model is not None and self.model.crashes:
            told["suspect"] = {"died_of": self.model.died_of, "crashes": self.model.crashes}
        if self.model is not None and (refused := self.model.refusals.tell()):
            told["refused"] = refused
        return told
