"""Where the version goes, and what it must be before it serves."""

from typing import Annotated, Final, Self

from pydantic import Field, StringConstraints, model_validator

from training.recipe.block import Block

STABLE: Final = "stable"  # what callers get who name no version
AliasName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Gate(Block):
    """A condition on one of the metrics of the variant that serves.

    `at_least` and `at_most` are absolute; `worse_by_at_most` is how much worse it may be than the version that the
    promotion replaces, on the same rows.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    worse_by_at_most: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.at_least is None and self.at_most is None and self.worse_by_at_most is None:
            raise ValueError("a gate needs at_least, at_most or worse_by_at_most")
        return self


class Register(Block):
    """Publish under `alias` and, where all `gates` hold, point `promote` at the version too.

    With `url` into the running platform there, with the token of HEADRACE_ADMIN_TOKEN. Without, into the registry of
    the platform in the folder `data`; where that is not given, the one of HEADRACE_DATABASE_URL and
    HEADRACE_ARTIFACTS_URL, or else of HEADRACE_DATA or `.headrace` where the command was started.
    """

    url: str | None = Field(None, pattern=r"^https?://")
    data: str | None = None
    alias: AliasName = "candidate"
    promote: AliasName | None = None
    gates: tuple[Gate, ...] = ()

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.promote == self.alias:
            raise ValueError(
                "promote: that is the alias it is published under; the gates would decide about nothing: "
                "write 'alias: candidate'"
            )
        if self.gates and self.alias == STABLE:
            raise ValueError(
                f"alias: what is published as {STABLE} serves before its gates are judged: write 'alias: candidate' "
                f"and 'promote: {STABLE}'"
            )
        if self.url is not None and self.data is not None:
            raise ValueError("give 'url' for a running platform or 'data' for a folder, not both")
        return self
