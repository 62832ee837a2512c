"""The bytes that requests in flight reserve in this process: for bodies as they arrive, for what is made of them, and
for answers until their clients have read them."""

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from wire.errors import Overloaded, TooLarge

DEFAULT_BYTES: Final = 512 << 20
LARGE: Final = 64 << 10  # a share of less is no flood, and no ebb
MUCH: Final = 64 << 20


class Budget:
    """`limit` bytes for all requests together; `reserved` are taken, `refused` requests found no room.

    A request may reserve as much as it leaves free for all others, and so half of the limit at most. A few large ones
    can thus never take the last of it: each further one is refused sooner, and small ones always find room.

    `on_ebb` is called when most of what was reserved has been given back, where it was much.
    """

    __slots__ = ("_on_ebb", "_peak", "limit", "refused", "reserved")

    def __init__(self, limit: int = DEFAULT_BYTES, on_ebb: Callable[[], None] | None = None) -> None:
        self.limit = limit
        self.reserved = 0
        self.refused = 0
        self._peak = 0
        self._on_ebb = on_ebb

    def take_back(self, size: int) -> None:
        """Free `size` of the reserved bytes."""
        self.reserved -= size
        if size >= LARGE:
            self._peak = max(self._peak, self.reserved + size)
            if self._peak >= MUCH and self.reserved * 4 < self._peak:
                self._peak = self.reserved
                if self._on_ebb is not None:
                    self._on_ebb()

    def has_room(self, size: int) -> bool:
        """Whether a share could have so many bytes now."""
        return self.reserved + 2 * size <= self.limit

    def share(self) -> "Share":
        return Share(self)

    def lasting_share(self) -> "LastingShare":
        return LastingShare(self)


class Share:
    """The bytes that one request has reserved; given back at the end of `with budget.share() as share:`."""

    __slots__ = ("_budget", "reserved")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.reserved = 0

    def reserve(self, size: int) -> None:
        """Make it `size` bytes in all.

        Raises TooLarge where that never fits, Overloaded where it does not fit now; what was reserved before still is.
        """
        budget = self._budget
        others = budget.reserved - self.reserved
        if size > self.reserved and others + 2 * size > budget.limit:
            budget.refused += 1
            raise _refusal(size, others, budget.limit)
        budget.reserved = others + size
        self.reserved = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.take_back(self.reserved)
        self.reserved = 0


class LastingShare(Share):
    """A share without a block: it is given back when the object that keeps it is garbage."""

    __slots__ = ()

    def __del__(self) -> None:
        self._budget.take_back(self.reserved)


def _refusal(size: int, others: int, limit: int) -> Overloaded | TooLarge:
    if 2 * size > limit:
        return TooLarge(f"this request takes {size} bytes of memory, one may take {limit // 2}: send it in parts")
    return Overloaded(
        f"this request takes {size} bytes of memory, and others hold {others} of the {limit} for all", retry_after=1
    )
