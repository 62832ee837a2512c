"""The HorizontalPodAutoscaler's decisions, which KEDA's ScaledObjects are turned into.

Sources: "Horizontal Pod Autoscaling" in the Kubernetes documentation (algorithm details, configurable scaling
behavior), and for what it leaves open kube-controller-manager's replica_calculator.go and horizontal.go. KEDA itself
decides only between none and one (activation.py); beyond that it answers the autoscaler's question for a metric at each
sync ("Scaling Deployments" and "ScaledObject specification" in KEDA's documentation).
"""

import math
from collections.abc import Iterable
from typing import Final

from loadtests.scaling.manifests import Policy, Rules, Scaling

SYNC_S: Final = 15  # --horizontal-pod-autoscaler-sync-period
TOLERANCE: Final = 0.1  # --horizontal-pod-autoscaler-tolerance


def by_value(value: float, target: float, current: int, ready: int) -> int:
    """Replicas by an external metric of type Value: as many times those that are ready as it is times its target."""
    ratio = value / target
    return current if _near(ratio) else math.ceil(ratio * ready)


def by_average(total: float, target: float, current: int) -> int:
    """Replicas by an external metric of type AverageValue: the total, shared out so that each has its target."""
    return current if _near(total / (target * current)) else math.ceil(total / target)


def by_utilization(used: float, requested: float, target: float, current: int, ready: int) -> int:
    """Replicas by CPU. `used` cores by the `ready` pods, of `requested` a pod; those that start use none.

    Where that would ask for more, those that start are counted in, and nothing is done where that says to have fewer.
    """
    ratio = used / (requested * ready) / target if ready else 0.0
    if ready == current or ratio <= 1:
        return current if _near(ratio) else math.ceil(ratio * ready)
    ratio = used / (requested * current) / target
    return current if ratio < 1 or _near(ratio) else math.ceil(ratio * current)


class Autoscaler:
    """One HorizontalPodAutoscaler with scaling behavior. `replicas` is what it has set last."""

    def __init__(self, scaling: Scaling, replicas: int) -> None:
        self.replicas = replicas
        self._scaling = scaling
        self._recommended: list[tuple[float, int]] = []  # when, and how many
        self._changes: list[tuple[float, int]] = []

    def decide(self, now: float, proposals: Iterable[int]) -> int:
        """The replicas from `now` on (seconds), of what each metric proposes: the most, as far as the rules allow."""
        desired = self._stabilized(now, max(proposals))
        allowed = min(max(desired, self._lowest(now)), self._highest(now))
        longest = max(policy.period_s for rules in (self._scaling.up, self._scaling.down) for policy in rules.policies)
        self._changes = [(at, change) for at, change in self._changes if at > now - longest]
        if allowed != self.replicas:
            self._changes.append((now, allowed - self.replicas))
            self.replicas = allowed
        return allowed

    def _stabilized(self, now: float, desired: int) -> int:
        """No more than the least of what was wanted in the window for up, no fewer than the most in that for down."""
        up, down = self._scaling.up.stabilization_s, self._scaling.down.stabilization_s
        self._recommended = [(at, count) for at, count in self._recommended if at > now - max(up, down)]
        at_most = min([desired, *(count for at, count in self._recommended if at > now - up)])
        at_least = max([desired, *(count for at, count in self._recommended if at > now - down)])
        self._recommended.append((now, desired))
        return min(max(self.replicas, at_most), at_least)

    def _highest(self, now: float) -> int:
        limits = [
            before + policy.value if policy.type == "Pods" else math.ceil(before * (100 + policy.value) / 100)
            for policy, before in self._periods(now, self._scaling.up)
        ]
        return min(self._scaling.maximum, max(self.replicas, *limits))

    def _lowest(self, now: float) -> int:
        limits = [
            before - policy.value if policy.type == "Pods" else math.floor(before * (100 - policy.value) / 100)
            for policy, before in self._periods(now, self._scaling.down)
        ]
        return max(self._scaling.minimum, min(self.replicas, *limits))

    def _periods(self, now: float, rules: Rules) -> list[tuple[Policy, int]]:
        """Each policy, and how many replicas there were when its period began."""
        return [
            (policy, self.replicas - sum(change for at, change in self._changes if at > now - policy.period_s))
            for policy in rules.policies
        ]


def _near(ratio: float) -> bool:
    return abs(ratio - 1) <= TOLERANCE
