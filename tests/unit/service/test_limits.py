"""How many connections one server takes, of an address and of all."""

from ipaddress import ip_network

import pytest

from service.limits import ConnectionLimits, Watch
from tests.unit.service.echo import serving
from tests.unit.service.raw_http import LAST, ask, refused


class Quiet:
    """A connection that does nothing."""

    def second_passed(self) -> None: ...


async def test_an_address_has_a_number_of_connections_but_for_this_machine_and_the_proxies() -> None:
    watch = Watch(ConnectionLimits(per_address=2, proxies=[ip_network("10.1.0.0/16")]))
    first, *others = Quiet(), Quiet(), Quiet()
    for connection in (first, others[0]):
        assert watch.add(connection, "192.0.2.7", 10) is None
    assert "192.0.2.7 has 2 connections" in str(watch.add(others[1], "192.0.2.7", 10))
    assert watch.add(Quiet(), "192.0.2.8", 10) is None
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3"):
        assert [watch.add(Quiet(), address, 10) for _ in range(5)] == [None] * 5
    watch.remove(first, "192.0.2.7")
    watch.remove(others[1], "192.0.2.7")
    assert watch.add(Quiet(), "192.0.2.7", 10) is None


async def test_connections_leave_files_for_the_rest_of_the_process(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(files=2) as port:  # the next one would take one of those
        assert "no connections left" in refused(await ask(port), 503)
        await ask(port, LAST)
    assert [record.name for record in caplog.records].count("headrace.connections") == 1
    assert "ulimit -n" in caplog.text
