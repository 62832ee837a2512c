"""What a store of answers is to the response cache."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol


@dataclass(slots=True, frozen=True)
class Entry:
    """A stored value and the seconds it has left to live."""

    value: bytes
    ttl_s: float


class Leased(Enum):
    """There is no entry, but another process holds the lease on computing it."""

    LEASED = 0


LEASED: Final = Leased.LEASED


class Store(Protocol):
    """Values by key, each for a time. A store may forget at any time; none of this ever raises."""

    async def get(self, key: bytes) -> Entry | Leased | None:
        """The entry under `key`. None: the caller is to compute it, and holds the lease where the store has leases."""
        ...

    async def set(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s` seconds, which are more than 0. Ends the lease on `key`."""
        ...

    async def release(self, key: bytes) -> None:
        """End this process's lease on `key` without a value, so that others need not wait for one."""
        ...

    async def close(self) -> None:
        """Give back what the store holds; it is not used again."""
        ...
