import asyncio
import re
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from gateway.api.admin import MANIFEST
from storage.model_name import RESERVED
from storage.views import EventView, ModelView, ReplicaView
from tests.unit.gateway.application import CONTENT, SHA256, Application, application, described

MODELS = TypeAdapter(list[ModelView])
MODEL = TypeAdapter(ModelView)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        yield app


async def routed(app: Application, name: str = "m") -> dict[str, str]:
    """Where the gateway's own route table leads, by version and alias."""
    return {key: target.version for key, target in app.components.membership.table.model(name).versions.items()}


async def test_a_version_is_published_and_routed_to_at_once(app: Application) -> None:
    manifest = described()
    answer = await app.publish(manifest)
    assert answer.status_code == 200
    version = answer.json()
    assert (version["model"], version["number"], version["digest"]) == ("m", 1, manifest.digest)
    assert await routed(app) == {"1": "1", "stable": "1"}


async def test_publishing_again_is_the_same_version(app: Application) -> None:
    first, again = [(await app.publish(described())).json() for _ in range(2)]
    assert first == again


async def test_views_come_back_as_the_registry_has_them(app: Application) -> None:
    await app.publish(described())
    await app.publish(described(description="better"), alias="candidate")
    given = MODELS.validate_python((await app.client.get("/admin/models")).json())
    assert given == await app.components.registry.models()
    assert MODEL.validate_python((await app.client.get("/admin/models/m")).json()) == given[0]


async def test_a_manifest_whose_files_are_missing_is_refused_with_their_names(app: Application) -> None:
    missing = {"path": "weights/part.bin", "sha256": "5" * 64, "size": 3}
    manifest = described(files=[*described().model_dump()["files"], missing])
    answer = await app.publish(manifest)
    assert answer.status_code == 409
    assert f"weights/part.bin ({'5' * 64})" in answer.json()["error"]
    assert "model.onnx" not in answer.json()["error"]
    assert (await app.client.get("/admin/models")).json() == []


async def test_a_manifest_is_published_under_its_own_name_only(app: Application) -> None:
    answer = await app.client.post(
        "/admin/models/other/versions", json={"manifest": described().model_dump(mode="json")}
    )
    assert answer.status_code == 400
    assert "'m'" in answer.json()["error"]
    assert (await app.client.post("/admin/models/m/versions", json={"manifest": {"name": "m"}})).status_code == 400


async def test_a_name_that_a_path_uses_is_refused_and_every_such_name_is(app: Application) -> None:
    answer = await app.publish(described("stats"))
    assert answer.status_code == 400
    assert "no model can be called 'stats'" in answer.json()["error"]
    # Wherever a path has a parameter for the model, no other path may have a word that is not reserved.
    paths = {route.path for route in iter_route_contexts(cast(Any, app.client)._transport.app.routes) if route.path}
    named = [path for path in paths if re.search(r"/\{(model|name)\}$", path)]
    words = {
        other[len(base) :]
        for base in (path.rpartition("/")[0] + "/" for path in named)
        for other in paths
        if other.startswith(base) and re.fullmatch(r"\w+", other[len(base) :])
    }
    assert "stats" in words
    assert words <= RESERVED


async def test_promotion_and_rollback_are_routed_by_at_once(app: Application) -> None:
    for text in ("one", "two"):
        await app.publish(described(description=text))
    await app.load()
    promoted = await app.client.post("/admin/models/m/promote", json={"version": 2})
    assert (promoted.status_code, promoted.json()["number"]) == (200, 2)
    assert (await routed(app))["stable"] == "2"
    back = await app.client.post("/admin/models/m/rollback")
    assert (back.status_code, back.json()["number"]) == (200, 1)
    assert (await routed(app))["stable"] == "1"
    assert (await app.client.post("/admin/models/m/rollback", json={"alias": "stable"})).status_code == 409


async def test_an_alias_can_be_promoted_and_bad_ones_are_refused(app: Application) -> None:
    await app.publish(described())
    await app.publish(described(description="better"), alias="candidate")
    promoted = await app.client.post("/admin/models/m/promote", json={"version": "candidate", "alias": "stable"})
    assert promoted.json()["number"] == 2
    for body, status in (
        ({"version": 9}, 404),
        ({"version": "nobody"}, 404),
        ({"version": 1, "alias": "7"}, 400),
        ({"version": 1, "alias": ""}, 400),
        ({"alias": "stable"}, 400),
        ({"version": 1.5}, 400),
        ({"version": True}, 400),
        ({"version": 1.0}, 400),
    ):
        assert (await app.client.post("/admin/models/m/promote", json=body)).status_code == status
    assert (await app.client.post("/admin/models/m/rollback", json={"alias": "nobody"})).status_code == 404


async def test_null_is_as_good_as_left_out_wherever_something_may_be(app: Application) -> None:
    for text in ("one", "two", "three"):
        body = {"manifest": described(description=text).model_dump(mode="json"), "alias": None}
        assert (await app.client.post("/admin/models/m/versions", json=body)).status_code == 200
    for number in (2, 3):
        answer = await app.client.post("/admin/models/m/promote", json={"version": number, "alias": None})
        assert answer.status_code == 200, answer.text
    json = {"content-type": "application/json"}
    for content, number in ((b'{"alias": null}', 2), (b"null", 1)):
        answer = await app.client.post("/admin/models/m/rollback", content=content, headers=json)
        assert (answer.status_code, answer.json()["number"]) == (200, number)


async def test_a_route_shares_requests_out_until_it_is_taken_away(app: Application) -> None:
    for text in ("one", "two"):
        await app.publish(described(description=text))
    answer = await app.client.put("/admin/models/m/route", json={"weights": {"1": 1, "2": 3}})
    assert MODEL.validate_python(answer.json()).weights == {"1": 1, "2": 3}
    shares = [(limit, target.version) for limit, target in app.components.membership.table.model("m").shares]
    assert shares == [(0.25, "1"), (1.0, "2")]
    answer = await app.client.put("/admin/models/m/route", json={"weights": None})
    assert answer.json()["weights"] is None
    for weights, status in (({"1": 0}, 400), ({"1": -1}, 400), ({"9": 1}, 404), ({"x": 1}, 404), ({"1": "NaN"}, 400)):
        assert (await app.client.put("/admin/models/m/route", json={"weights": weights})).status_code == status
    # Two that would add up to infinity, numbers that are none, and what is a number elsewhere only.
    for share in (b"1e308", b"1e400", b"NaN", b"Infinity", b"1" + b"0" * 400, b"true", b'"1"'):
        content = b'{"weights": {"1": %b, "2": %b}}' % (share, share)
        answer = await app.client.put(
            "/admin/models/m/route", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, share
        assert answer.json()["error"]


async def test_load_and_unload_answer_with_the_model_as_it_is_then(app: Application) -> None:
    await app.publish(described())
    for action, enabled in (("unload", False), ("load", True)):
        answer = await app.client.post(f"/admin/models/m/{action}")
        assert MODEL.validate_python(answer.json()).enabled is enabled
        assert app.components.membership.table.model("m").enabled is enabled


async def test_a_failed_version_is_tried_again_when_asked(app: Application) -> None:
    version = (await app.publish(described())).json()
    await app.components.registry.mark_failed(version["id"], "it does not load")
    assert (await app.client.get("/admin/models/m")).json()["versions"][0]["failure"] == "it does not load"
    answer = await app.client.post("/admin/models/m/versions/1/retry")
    assert answer.json()["failure"] is None
    assert [desired.number for desired in await app.components.registry.list_desired()] == [1]


async def test_a_version_in_use_stays_and_others_go(app: Application) -> None:
    for text in ("one", "two"):
        await app.publish(described(description=text))
    in_use = await app.client.delete("/admin/models/m/versions/1")
    assert in_use.status_code == 409
    assert "alias stable" in in_use.json()["error"]
    gone = await app.client.delete("/admin/models/m/versions/2")
    assert [version["number"] for version in gone.json()["versions"]] == [1]
    assert await routed(app) == {"1": "1", "stable": "1"}
    assert (await app.client.delete("/admin/models/m/versions/2")).status_code == 404
    assert (await app.client.delete("/admin/models/m/versions/none")).status_code == 400


async def test_an_alias_is_removed_and_routed_to_no_more(app: Application) -> None:
    await app.publish(described())
    await app.publish(described(description="better"), alias="candidate")
    route = "/admin/models/m/route"
    await app.client.put(route, json={"weights": {"stable": 9, "candidate": 1}})
    for alias, why in (("candidate", "end the sharing first"), ("stable", "would have no answer")):
        refused = await app.client.delete(f"/admin/models/m/aliases/{alias}")
        assert refused.status_code == 409
        assert why in refused.json()["error"]
    await app.client.put(route, json={"weights": None})
    removed = await app.client.delete("/admin/models/m/aliases/candidate")
    assert MODEL.validate_python(removed.json()).aliases == {"stable": 1}
    assert await routed(app) == {"1": "1", "2": "2", "stable": "1"}
    for path in ("m/aliases/candidate", "nobody/aliases/candidate"):
        assert (await app.client.delete(f"/admin/models/{path}")).status_code == 404


async def test_a_removed_model_is_gone_from_the_routes_and_its_events_stay(app: Application) -> None:
    await app.publish(described())
    answer = await app.client.delete("/admin/models/m")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "m" not in app.components.membership.table.models
    events = TypeAdapter(list[EventView]).validate_python((await app.client.get("/admin/events?model=m")).json())
    assert [event.kind for event in events] == ["removed", "promoted", "published"]
    assert {event.actor for event in events} == {"127.0.0.1"}
    assert len((await app.client.get("/admin/events?limit=1")).json()) == 1
    assert (await app.client.get("/admin/events?model=other")).json() == []


async def test_replicas_are_listed_with_what_they_have_loaded(app: Application) -> None:
    await app.publish(described())
    await app.load("http://127.0.0.1:9", id="w9")
    (replica,) = TypeAdapter(list[ReplicaView]).validate_python((await app.client.get("/admin/replicas")).json())
    assert (replica.id, replica.url, replica.versions) == (
        "w9", "http://127.0.0.1:9", {"1": {"state": "ready", "reason": None}},
    )  # fmt: skip


async def test_a_file_is_there_once_it_is_uploaded(app: Application) -> None:
    assert (await app.client.head(f"/admin/files/{SHA256}")).status_code == 200
    assert (await app.client.head(f"/admin/files/{'0' * 64}")).status_code == 404
    again = await app.client.put(f"/admin/files/{SHA256}", content=CONTENT)
    assert again.json() == {"sha256": SHA256, "size": len(CONTENT)}


async def test_a_file_with_other_bytes_than_its_name_says_is_not_kept(app: Application) -> None:
    answer = await app.client.put(f"/admin/files/{'0' * 64}", content=CONTENT)
    assert answer.status_code == 400
    assert SHA256 in answer.json()["error"]
    assert (await app.client.head(f"/admin/files/{'0' * 64}")).status_code == 404
    assert (await app.client.put("/admin/files/..%2F..%2Fetc", content=b"")).status_code in (400, 404)
    assert (await app.client.put(f"/admin/files/{'A' * 64}", content=b"")).status_code == 400


async def test_a_store_that_is_away_or_takes_no_more_is_a_503_that_says_so(app: Application, tmp_path: Path) -> None:
    store = tmp_path / "artifacts"
    store.rename(tmp_path / "unmounted")
    head = await app.client.head(f"/admin/files/{SHA256}")
    put = await app.client.put(f"/admin/files/{SHA256}", content=CONTENT)
    published = await app.publish(described())
    assert (head.status_code, put.status_code, published.status_code) == (503, 503, 503)
    for answer in (put, published):
        assert f"the artifact store {store}" in answer.json()["error"]
        assert "not mounted" in answer.json()["error"]
    (tmp_path / "unmounted").rename(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # no file may grow further, as where a disk is full
    try:
        full = await app.client.put(f"/admin/files/{SHA256}", content=CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.status_code == 503
    assert f"the artifact store {store} does not answer as it should: [Errno 27]" in full.json()["error"]
    assert (await app.publish(described())).status_code == 200


async def test_a_registry_whose_file_is_gone_is_a_503_that_says_so(app: Application, tmp_path: Path) -> None:
    await app.publish(described())
    (tmp_path / "registry.db").rename(tmp_path / "away.db")
    for answer in (await app.client.get("/admin/models"), await app.client.post("/admin/models/m/unload")):
        assert answer.status_code == 503
        assert "registry.db is gone" in answer.json()["error"]
    assert await routed(app) == {"1": "1", "stable": "1"}, "what is known goes on serving"


async def test_a_file_is_stored_as_it_comes_and_may_be_larger_than_a_request(tmp_path: Path) -> None:
    async with application(tmp_path, max_body_bytes=10, max_file_bytes=len(CONTENT)) as app:
        pieces: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)

        async def slowly() -> AsyncIterator[bytes]:
            for at in range(0, len(CONTENT), 7):
                await pieces.put(CONTENT[at : at + 7])
                yield await pieces.get()

        assert (await app.client.put(f"/admin/files/{SHA256}", content=slowly())).status_code == 200
        for content in (CONTENT + b"!", chunked(CONTENT + b"!")):
            answer = await app.client.put(f"/admin/files/{SHA256}", content=content)
            assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "number"), [
        (b'{"manifest": [' + b"{}," * 60_000 + b"{}]}", "50000 values"),
        (b'{"manifest": {' + b'"a":1,' * 6_000 + b'"a":1}}', "5000 names"),
        (b'{"manifest": "' + b"a" * MANIFEST.bytes + b'"}', "2097152 bytes"),
    ],
)  # fmt: skip
async def test_a_manifest_that_would_take_long_to_read_is_refused_with_the_limit(
    app: Application, body: bytes, number: str
) -> None:
    answer = await app.client.post(
        "/admin/models/m/versions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert number in answer.json()["error"]


async def test_of_thousands_of_mistakes_in_a_list_the_first_is_told(app: Application) -> None:
    manifest = described(task="text-classification", text={}).model_dump(mode="json")
    manifest["text"]["labels"] = ["right", *range(40_000)]
    answer = await app.client.post("/admin/models/m/versions", json={"manifest": manifest})
    assert answer.status_code == 400
    assert answer.json()["error"] == "body.manifest.text.labels.1: Input should be a valid string"


async def test_what_an_error_repeats_is_cut_short(app: Application) -> None:
    for manifest in ({"name": "x\n" * 100_000}, {"k" * 100_000: 1}):
        answer = await app.client.post("/admin/models/m/versions", json={"manifest": manifest})
        assert answer.status_code == 400
        assert len(answer.content) < 40_000


async def test_only_manifests_are_read_that_are_long(app: Application) -> None:
    weights = {"weights": {str(number): 1.0 for number in range(10_000)}}
    answer = await app.client.put("/admin/models/m/route", json=weights)
    assert answer.status_code == 413
    assert "65536 bytes" in answer.json()["error"]


async def test_a_body_that_is_nested_too_deep_to_be_read_is_refused(app: Application) -> None:
    for path in ("/admin/models/m/versions", "/admin/models/m/promote", "/v2/repository/index"):
        for content in (b"[" * 30_000, b'{"manifest":' * 4_000 + b"1" + b"}" * 4_000):
            answer = await app.client.post(path, content=content, headers={"content-type": "application/json"})
            assert answer.status_code == 400
            assert answer.json()["error"]


async def chunked(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 5):
        yield content[at : at + 5]
