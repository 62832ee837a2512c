"""What the connections of one server may take, and the watch that closes those which take more."""

import asyncio
import errno
import logging
import os
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Protocol

from service.deadlines import Deadlines
from service.drops import Drops
from service.logs import Rarely
from service.turns import Turns, in_turns

log = logging.getLogger("headrace.connections")
log.addFilter(Rarely(60.0))  # whoever causes these lines can cause any number of them

# Descriptors that clients leave for files, workers, the registry and the cache.
RESERVED_FILES: Final = 128
# More than this many connections are better served by more processes.
_ENOUGH_FILES: Final = 64 << 10

# Requests that begin in one turn may travel to a worker together: as many as a batch has rows by default.
READ_AT_ONCE: Final = 32

Network = IPv4Network | IPv6Network


@dataclass(slots=True, frozen=True)
class ConnectionLimits:
    """Bytes and whole seconds; where a field can be None, that is no limit.

    A body may take `body_grace_s` seconds, one more for each `body_rate` bytes that came, and `body_s` at most.
    """

    head_bytes: int = 64 << 10
    head_s: int = 10
    body_grace_s: int = 10
    body_rate: int = 1000
    body_s: int | None = None
    idle_s: int = 75  # above what load balancers keep their idle connections for
    unread_s: int = 30  # for a client that reads nothing of its answer
    linger_s: int = 2  # for what is still on its way to a connection that is to be closed
    per_address: int | None = None
    files: int | None = None  # that this process may have open, where it is fewer than the system allows
    proxies: Sequence[Network] = ()  # which may have any number of connections, as this machine itself


class Watched(Protocol):
    """A connection, called once a second."""

    def second_passed(self) -> None: ...


class Watch:
    """Counts the connections of one server and tells each of them, once a second, that time passes.

    One timer for all of them: a timer for each request would cost as much as parsing it. However many are to be closed
    in the same second, they are told a few in each turn of the loop, so that it does not stand still. So is what else
    they may all do at once: `read`, `lost` and `late`. `drops` reads and drops what refused clients still send.
    """

    def __init__(self, limits: ConnectionLimits, second: float = 1.0) -> None:
        self.limits = limits
        self.read = Turns(READ_AT_ONCE)  # what has come
        self.late = Turns()  # requests whose time is up
        self.lost = Turns()  # connections
        self.drops = Drops()
        self.deadlines = Deadlines(self.late.add)
        self._second = second
        self._connections: set[Watched] = set()
        self._by_address: Counter[str] = Counter()
        self._excepted: dict[str, bool] = {}
        self._running = False
        self._files = limits.files or resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._kept = min(RESERVED_FILES, self._files // 2)

    def add(self, connection: Watched, address: str, descriptor: int) -> str | None:
        """Watch this connection. Returns why it cannot be served, None where it can."""
        if not self._running:
            self._running = True
            asyncio.get_running_loop().call_later(self._second, self._look)
        self._connections.add(connection)
        self._by_address[address] += 1
        # The lowest number that is free is given to each, so that it tells how many are in use, whoever uses them.
        if descriptor >= self._files - self._kept:
            log.error(
                "%d of the %d files that this process may open are in use: raise `ulimit -n`", descriptor, self._files
            )
            return "this server has no connections left"
        allowed = self.limits.per_address
        if allowed is not None and self._by_address[address] > allowed and not self._is_excepted(address):
            log.warning("%s has more than %d connections, and gets no others", address, allowed)
            return f"{address} has {allowed} connections, which is the limit for an address"
        return None

    def has_no_file_for(self, descriptor: int) -> bool:
        """Whether half of the descriptors that are kept back are in use."""
        return descriptor >= self._files - self._kept // 2

    def remove(self, connection: Watched, address: str) -> None:
        self._connections.discard(connection)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _is_excepted(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:  # a socket in the file system
            return True
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return ip.is_loopback or any(ip in network for network in self.limits.proxies)

    def _look(self) -> None:
        in_turns(iter([*self._connections]), self._tell, then=self._finish_look)

    def _tell(self, connection: Watched) -> None:
        if connection in self._connections:  # and not gone since the look began
            connection.second_passed()

    def _finish_look(self) -> None:
        _complain_where_no_file_can_be_opened()
        self._running = bool(self._connections)
        if self._running:
            asyncio.get_running_loop().call_later(self._second, self._look)


def raise_file_limit() -> None:
    """Raise this process's limit of open files as far as it may: each connection is one."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now < _ENOUGH_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _ENOUGH_FILES), most))


def _complain_where_no_file_can_be_opened() -> None:
    try:
        os.close(os.dup(0))
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            log.error("no file or connection can be opened (%s): raise `ulimit -n`", error.strerror)
