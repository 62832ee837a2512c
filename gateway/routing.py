"""Which version answers a request, and which replicas hold it: an immutable snapshot, replaced whole."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import random
from time import monotonic
from typing import Final

from gateway.balancer import Replica
from storage.manifest import Manifest
from storage.views import ModelView, VersionView
from wire.errors import ModelNotFound, ModelNotReady
from wire.refusals import Refusals
from wire.tasks.contract import Contract
from wire.tasks.table import task_named

DEFAULT_ALIAS = "stable"


@dataclass(slots=True, frozen=True, eq=False)
class Target:
    """One version, where it is loaded. `path` is its infer path on a worker.

    Where it `coalesces`, requests of up to `max_rows` rows in all may share one; a worker runs `slots` of them at once.
    `refusals` are the inputs that have crashed it; they outlive the route tables that name them.
    """

    model: str
    version: str
    digest: str
    manifest: Manifest
    cache_ttl_s: int
    replicas: tuple[Replica, ...]
    path: bytes
    coalesces: bool
    max_rows: int
    slots: int
    refusals: Refusals
    task: Contract

    def capacity(self, ahead: int = 0) -> int:
        """How many requests all the workers run that can be asked now, with so many more that stand ready at each."""
        now = monotonic()
        return (self.slots + ahead) * max(
            1, sum([replica.workers for replica in self.replicas if replica.available(now)])
        )


@dataclass(slots=True, frozen=True)
class Trouble:
    """Why a worker has not loaded a version, as it said. One that `lasts` is of the machine, and does not pass soon."""

    reason: str
    lasts: bool


@dataclass(slots=True, frozen=True)
class ModelRoute:
    """What a model's name leads to. `shares` are the cumulated weights of unversioned requests, the last one 1."""

    name: str
    enabled: bool
    versions: Mapping[str, Target]  # by number and by alias; also those that are loaded nowhere
    shares: tuple[tuple[float, Target], ...]
    failures: Mapping[str, str] = field(default_factory=dict)  # why versions, by number, will not be loaded
    wanted: Collection[str] = frozenset()  # the versions, by number, that an alias or a weight names
    troubles: Mapping[str, "Trouble"] = field(default_factory=dict)  # what keeps workers from loading them, likewise

    def resolve(self, version: str | None) -> Target:
        """The version that answers. Raises ModelNotFound where there is no such version."""
        if version is not None:
            if (target := self.versions.get(version)) is None:
                known = ", ".join(self.versions) or "none"
                raise ModelNotFound(f"model '{self.name}' has no version '{version}'; there are: {known}")
            return target
        if not self.shares:
            raise ModelNotFound(
                f"model '{self.name}' has no '{DEFAULT_ALIAS}' version: promote one, or name a version in the path"
            )
        if len(self.shares) == 1:
            return self.shares[0][1]
        point = random()
        return next(target for limit, target in self.shares if point < limit)

    def fixed(self, version: str | None) -> Target | None:
        """The version that answers, where there is one and nothing is drawn."""
        if version is not None:
            return self.versions.get(version)
        return self.shares[0][1] if len(self.shares) == 1 else None


@dataclass(slots=True, frozen=True)
class RouteTable:
    """All models. An empty table says that the registry has not been read yet."""

    models: Mapping[str, ModelRoute] = field(default_factory=dict)
    loaded: bool = False

    def model(self, name: str) -> ModelRoute:
        """Raises ModelNotFound, and ModelNotReady while the registry has not been read."""
        if (route := self.models.get(name)) is not None:
            return route
        if not self.loaded:
            raise ModelNotReady("the registry has not been read yet", retry_after=1)
        raise ModelNotFound(f"no model '{name}'")

    def resolve(self, model: str, version: str | None) -> Target:
        """The version that answers, loaded on at least one replica.

        Raises ModelNotFound; ModelNotReady, whose `retry_after` is None where waiting will not help.
        """
        route = self.model(model)
        target = route.resolve(version)
        if target.replicas:
            return target
        name = f"version {target.version} of model '{model}'"
        if not route.enabled:
            raise ModelNotReady(f"{name} is unloaded: load it first")
        if failure := route.failures.get(target.version):
            raise ModelNotReady(f"{name} failed to load: {failure}")
        if target.version not in route.wanted:
            raise ModelNotReady(f"{name} is loaded on no worker, as no alias and no route names it: give it an alias")
        if (trouble := route.troubles.get(target.version)) is None:
            raise ModelNotReady(f"{name} is not loaded on any worker yet", retry_after=1)
        raise ModelNotReady(
            f"{name} is loaded on no worker: {trouble.reason}", retry_after=None if trouble.lasts else 1
        )


NO_TROUBLES: Final[Mapping[int, Trouble]] = {}


def build_table(
    models: Sequence[ModelView],
    ready: Mapping[int, tuple[Replica, ...]],
    before: RouteTable | None = None,
    alone: Collection[int] = (),
    troubles: Mapping[int, Trouble] = NO_TROUBLES,
) -> RouteTable:
    """The table for these models; `ready` maps a version's id to the replicas that have it loaded.

    `alone` are the versions whose requests a trial has found to depend on one another, `troubles` those that a worker
    could not load; both by id.
    """
    past = before.models if before else {}
    routes = {model.name: _route(model, ready, past.get(model.name), alone, troubles) for model in models}
    return RouteTable(routes, loaded=True)


def _route(
    model: ModelView,
    ready: Mapping[int, tuple[Replica, ...]],
    before: ModelRoute | None,
    alone: Collection[int],
    troubles: Mapping[int, Trouble],
) -> ModelRoute:
    targets = {
        version.number: _target(version, ready.get(version.id, ()), before, alone=version.id in alone)
        for version in model.versions
    }
    versions = {str(number): target for number, target in targets.items()}
    for alias in model.aliases:
        versions[alias] = _resolve_alias(model, alias, targets, before)
    stable = {DEFAULT_ALIAS: 1.0} if DEFAULT_ALIAS in versions else {}
    weights = model.weights or stable
    return ModelRoute(
        name=model.name,
        enabled=model.enabled,
        versions=versions,
        shares=_shares(*(_weigh(shares, versions) for shares in (weights, _so_far(before), stable))),
        failures={str(version.number): version.failure for version in model.versions if version.failure},
        wanted={str(version.number) for version in model.versions if model.names(version.number)},
        troubles={str(version.number): troubles[version.id] for version in model.versions if version.id in troubles},
    )


def _resolve_alias(model: ModelView, alias: str, targets: Mapping[int, Target], before: ModelRoute | None) -> Target:
    """The version an alias leads to.

    While the one it was moved to is loaded nowhere, the one that answered so far goes on or, in a gateway that has
    just started, one that the alias named before: neither a promotion nor a rollback costs a request.
    """
    current = targets[model.aliases[alias]]
    numbers = list(reversed(model.history[alias]))
    if before is not None and (answering := before.versions.get(alias)) is not None:
        numbers.insert(0, int(answering.version))
    others = (targets[number] for number in numbers if number in targets)
    return next((target for target in (current, *others) if target.replicas), current)


def _so_far(before: ModelRoute | None) -> Mapping[str, float]:
    """The shares of the versions that answered unversioned requests until now."""
    shares = before.shares if before is not None else ()
    starts = (0.0, *(limit for limit, _ in shares))
    return {target.version: limit - start for (limit, target), start in zip(shares, starts, strict=False)}


def _weigh(weights: Mapping[str, float], versions: Mapping[str, Target]) -> list[tuple[Target, float]]:
    return [(versions[name], weight) for name, weight in weights.items() if name in versions and weight > 0]


def _shares(
    weights: Sequence[tuple[Target, float]], *others: Sequence[tuple[Target, float]]
) -> tuple[tuple[float, Target], ...]:
    # A version that is loaded nowhere gets no share, and while that is so of all of them, `others` answer: what did
    # so far or, in a gateway that has just started, `stable`. With none at all, the error should name what was asked.
    answering = ([(target, weight) for target, weight in given if target.replicas] for given in (weights, *others))
    loaded = next((given for given in answering if given), weights)
    total = sum(weight for _, weight in loaded)
    limits = accumulate(weight / total for _, weight in loaded)
    shares = [(limit, target) for limit, (target, _) in zip(limits, loaded, strict=True)]
    if shares:
        shares[-1] = (1.0, shares[-1][1])  # not 0.9999...
    return tuple(shares)


def _target(version: VersionView, replicas: tuple[Replica, ...], before: ModelRoute | None, *, alone: bool) -> Target:
    manifest, task = version.manifest, task_named(version.manifest.task)
    known = before.versions.get(str(version.number)) if before is not None else None
    by_row = all(spec.shape[:1] == (-1,) for spec in (*manifest.inputs, *manifest.outputs))
    return Target(
        model=version.model,
        version=str(version.number),
        digest=version.digest,
        manifest=manifest,
        cache_ttl_s=manifest.cache_ttl_s,
        replicas=replicas,
        path=f"/v2/models/{version.model}/versions/{version.number}/infer".encode(),
        coalesces=by_row and not task.takes_text and not alone,
        max_rows=1 if alone else manifest.batching.max_rows,
        slots=manifest.engine.instances,
        # A model that was removed and added anew begins with the same numbers.
        refusals=known.refusals if known is not None and known.digest == version.digest else Refusals(),
        task=task,
    )
