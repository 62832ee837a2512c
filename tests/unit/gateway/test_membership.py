import asyncio
from asyncio import StreamReader, StreamWriter
from time import monotonic

import pytest

from gateway.membership import Membership
from gateway.worker_client import WorkerClient
from service.http_client import Reply, Stalled
from storage.views import ModelView, ReplicaView, Snapshot
from tests.unit.gateway.conftest import Start
from tests.unit.gateway.models import model, replica
from tests.unit.gateway.test_worker_client import read_request
from wire.errors import CrashingInput, ModelNotReady
from wire.messages import InferRequest
from wire.refusals import fingerprint
from wire.tensors import from_json

VIEW = model(1, aliases={"stable": 1})


class FakeRegistry:
    def __init__(self, *replicas: ReplicaView, models: tuple[ModelView, ...] = (VIEW,)) -> None:
        self.models = models
        self.replicas = replicas
        self.down = False
        self.reads = 0

    async def snapshot(self) -> Snapshot:
        self.reads += 1
        if self.down:
            raise OSError("database is down")
        return Snapshot(list(self.models), list(self.replicas))


def membership(registry: FakeRegistry, **settings: object) -> Membership:
    timing = {"refresh_s": 0.01, "replica_timeout_s": 60.0, "health_interval_s": 0.05}
    given = {"client": WorkerClient(), **timing, **settings}
    return Membership(registry, **given)  # type: ignore[arg-type]


def holders(members: Membership) -> list[str]:
    return [replica.id for replica in members.table.resolve("m", None).replicas]


@pytest.mark.parametrize(("lacking", "retry_after"), [(True, None), (False, 1)])
async def test_who_asks_for_what_workers_cannot_load_is_told_why(lacking: bool, retry_after: int | None) -> None:
    view = replica("a", 1)
    view.versions["1"] = {"state": "failed", "reason": "no cuda here"} | ({"lacking": True} if lacking else {})
    members = membership(FakeRegistry(view))
    await members.refresh()
    with pytest.raises(ModelNotReady, match="version 1 of model 'm' is loaded on no worker: no cuda here") as refused:
        members.table.resolve("m", None)
    assert refused.value.retry_after == retry_after


async def test_a_version_is_routed_to_the_replicas_that_have_it_loaded() -> None:
    members = membership(FakeRegistry(replica("a", 1), replica("b"), replica("c", 1)))
    await members.refresh()
    assert holders(members) == ["a", "c"]


async def test_requests_of_a_version_whose_rows_a_worker_has_found_to_depend_are_neither_coalesced_nor_cut() -> None:
    told = replica("a", 1)
    told.versions["1"]["alone"] = "output 'y' is off by 3"
    members = membership(FakeRegistry(replica("b", 1), told))
    await members.refresh()
    target = members.table.resolve("m", None)
    assert (target.coalesces, target.max_rows) == (False, 1)
    members = membership(FakeRegistry(replica("b", 1)))
    await members.refresh()
    assert members.table.resolve("m", None).coalesces


async def test_a_draining_replica_gets_nothing() -> None:
    members = membership(FakeRegistry(replica("a", 1, draining=True), replica("b", 1)))
    await members.refresh()
    assert holders(members) == ["b"]


async def test_a_replica_whose_heartbeat_stands_still_is_gone_and_one_that_beats_again_is_back() -> None:
    registry = FakeRegistry(replica("a", 1, beat=1))
    members = membership(registry, replica_timeout_s=0.0)
    await members.refresh()
    with pytest.raises(ModelNotReady):
        members.table.resolve("m", None)
    members = membership(registry)
    await members.refresh()
    assert holders(members) == ["a"]


async def test_siblings_read_the_registry_before_what_was_read_counts() -> None:
    registry = FakeRegistry(replica("a", 1))
    one, other = membership(registry), membership(registry)
    counted = []

    async def look() -> None:
        await other.read()
        counted.append((one.table.loaded, other.table.loaded))

    one.have_siblings_read = look
    await one.refresh()
    assert counted == [(False, True)]
    assert holders(one) == holders(other) == ["a"]


async def test_what_a_sibling_has_just_had_read_is_not_read_again_but_for_who_asks_for_it() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry, refresh_s=600.0)
    for refresh, reads in (
        (members.refresh_in_turn, 1),
        (members.refresh_in_turn, 2),  # its own reading is no reason
        (members.read, 3),
        (members.refresh_in_turn, 3),
        (members.refresh, 4),
    ):
        await refresh()
        assert registry.reads == reads


async def test_it_reads_again_where_a_sibling_does_not_go_on() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry)
    await members.read()
    async with asyncio.timeout(30):
        while registry.reads < 2:
            await members.refresh_in_turn()
            await asyncio.sleep(0.001)


async def test_what_was_read_earlier_is_not_stored_later() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry)
    passed, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        passed.set()
        await go_on.wait()

    members.have_siblings_read = wait
    slow = asyncio.create_task(members.refresh())
    await passed.wait()
    registry.replicas = (replica("b", 1),)
    await members.read()
    go_on.set()
    await slow
    assert holders(members) == ["b"]


async def test_counters_of_a_replica_outlive_the_table() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry)
    await members.refresh()
    members.replicas["a"].outstanding = 7
    registry.replicas = (replica("a", 1, beat=2), replica("b", 1))
    await members.refresh()
    assert members.table.resolve("m", None).replicas[0].outstanding == 7


async def test_behind_a_load_balancer_a_version_must_be_loaded_on_every_replica() -> None:
    registry = FakeRegistry(replica("a", 1), replica("b"))
    members = membership(registry, upstream="http://127.0.0.1:9")
    await members.refresh()
    with pytest.raises(ModelNotReady):
        members.table.resolve("m", None)
    registry.replicas = (replica("a", 1), replica("b", 1))
    await members.refresh()
    assert holders(members) == ["http://127.0.0.1:9"]


async def test_behind_a_load_balancer_a_replica_that_still_starts_does_not_count() -> None:
    registry = FakeRegistry(replica("a", 1), replica("b", settled=False))
    members = membership(registry, upstream="http://127.0.0.1:9")
    await members.refresh()
    assert holders(members) == ["http://127.0.0.1:9"]
    registry.replicas = (replica("a", 1), replica("b", settled=True))
    await members.refresh()
    with pytest.raises(ModelNotReady):
        members.table.resolve("m", None)
    registry.replicas = (replica("a"), replica("b", 1, settled=False))
    await members.refresh()
    with pytest.raises(ModelNotReady):
        members.table.resolve("m", None)


async def test_nobody_is_taken_for_dead_for_the_time_in_which_the_registry_could_not_be_read() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry, replica_timeout_s=0.2)
    await members.refresh()
    away = monotonic() + 0.5
    while monotonic() < away:
        await asyncio.sleep(0.05)
    await members.refresh()
    assert holders(members) == ["a"]


async def test_while_the_registry_is_down_the_last_table_goes_on() -> None:
    registry = FakeRegistry(replica("a", 1))
    members = membership(registry)
    await members.refresh()
    registry.down = True
    running = asyncio.create_task(members.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    assert holders(members) == ["a"]
    registry.down = False
    registry.replicas = (replica("b", 1),)
    while holders(members) != ["b"]:
        await asyncio.sleep(0.01)
    running.cancel()


async def test_a_row_without_a_usable_url_is_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = FakeRegistry(replica("a", 1), replica("lost", 1, url="http://host:notaport"))
    members = membership(registry)
    for beat in (1, 2, 3):
        registry.replicas = (replica("a", 1, beat=beat), *registry.replicas[1:])
        await members.refresh()
        assert holders(members) == ["a"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "lost" in said
    assert "http://host:notaport" in said


async def test_what_nobody_foresaw_is_logged_and_ends_neither_refreshes_nor_health_checks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(WorkerClient):
        asked = 0

        async def request(self, *arguments: object) -> Reply:
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("nobody foresaw this")
            return Reply(503)

    members = membership(FakeRegistry(replica("a", 1)), client=Broken())
    await members.refresh()
    running = asyncio.create_task(members.run())
    while members.replicas["a"].healthy:
        await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    assert "nobody foresaw this" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_worker_that_says_not_ready_or_nothing_is_unhealthy_until_it_says_ready(start: Start) -> None:
    status = b"503 X"

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await read_request(reader)
            if status != b"silence":
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)

    members = membership(FakeRegistry(replica("a", 1, url=await start(serve))))
    await members.refresh()
    running = asyncio.create_task(members.run())
    for said, healthy in ((b"503 X", False), (b"200 OK", True), (b"silence", False), (b"200 OK", True)):
        status = said
        while members.replicas["a"].healthy is not healthy:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_siblings_check_a_worker_before_it_counts_as_ready_again(start: Start) -> None:
    ready = False

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % (b"200 OK" if ready else b"503 X"))

    registry = FakeRegistry(replica("a", 1, url=await start(serve)))
    one, other = membership(registry), membership(registry)
    counted: list[tuple[bool, bool]] = []

    async def check() -> None:
        await other.check()
        counted.append((one.replicas["a"].healthy, other.replicas["a"].healthy))

    one.have_siblings_check = check
    for members in (one, other):
        await members.refresh()
        await members.check()
    assert not one.replicas["a"].healthy
    ready = True
    running = asyncio.create_task(one.run())
    while not one.replicas["a"].healthy:
        await asyncio.sleep(0.01)
    running.cancel()
    assert counted == [(False, True)]


async def test_a_worker_that_answers_its_health_checks_lives_though_its_heartbeat_stands_still(start: Start) -> None:
    identity = b"headrace-replica: a\r\n"

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n%bcontent-length: 0\r\n\r\n" % identity)

    members = membership(FakeRegistry(replica("a", 1, url=await start(serve))), replica_timeout_s=0.5)
    await members.refresh()
    running = asyncio.create_task(members.run())
    await asyncio.sleep(1.5)
    assert holders(members) == ["a"]
    identity = b"headrace-replica: another\r\n"  # which has its address now
    async with asyncio.timeout(30):
        while "a" in members.replicas:
            await asyncio.sleep(0.01)
    running.cancel()


async def test_behind_a_load_balancer_workers_that_all_stand_still_are_not_to_blame() -> None:
    registry = FakeRegistry(replica("a", 1), replica("b", 1))
    members = membership(registry, refresh_s=10.0, replica_timeout_s=0.2, upstream="http://127.0.0.1:9")
    for _ in range(10):
        await members.refresh()
        await asyncio.sleep(0.05)
    assert members.table.resolve("m", None).replicas[0].workers == 2
    for beat in range(2, 12):  # only one of them goes on
        registry.replicas = (replica("a", 1, beat=beat), replica("b", 1))
        await members.refresh()
        await asyncio.sleep(0.05)
    assert members.table.resolve("m", None).replicas[0].workers == 1


async def answer(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def stay_silent(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        await read_request(reader)


async def ask_a_silent_one(start: Start) -> tuple[Membership, asyncio.Task[Reply]]:
    """The workers `a`, which has been asked something and stays silent, and `b`, which answers."""
    client = WorkerClient()
    registry = FakeRegistry(replica("a", 1, url=await start(stay_silent)), replica("b", 1, url=await start(answer)))
    members = membership(registry, client=client)
    await members.refresh()
    return members, asyncio.create_task(client.request(members.replicas["a"], b"POST", b"/"))


async def test_what_a_silent_worker_was_asked_is_given_up_where_another_one_is_well(start: Start) -> None:
    members, asked = await ask_a_silent_one(start)
    running = asyncio.create_task(members.run())
    with pytest.raises(Stalled):
        async with asyncio.timeout(30):
            await asked
    running.cancel()


async def test_a_worker_that_answers_others_is_not_given_up_for_a_late_check(start: Start) -> None:
    members, asked = await ask_a_silent_one(start)
    checking = asyncio.create_task(members.check())
    await asyncio.sleep(0.01)
    members.replicas["a"].record_success(monotonic())
    await checking
    assert members.replicas["a"].healthy
    assert not asked.done()
    asked.cancel()


async def test_what_one_worker_refuses_is_refused_here() -> None:
    asked = InferRequest("m", None, [from_json("x", "FP32", (1, 2), [1, 2])])
    view = replica("a", 1)
    view.versions["1"]["refused"] = {fingerprint(asked): {"reason": "it ends the process", "for_s": 60.0}}
    members = membership(FakeRegistry(view))
    await members.refresh()
    await members.refresh()
    with pytest.raises(CrashingInput, match="it ends the process"):
        members.table.resolve("m", None).refusals.check(asked)
