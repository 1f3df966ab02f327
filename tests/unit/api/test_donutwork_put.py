"""PUT of the Donutwork contract: what is answered, what is published, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from processors.registry import Project

PATH = "/2026-02-01/directory-monitor/proj_123.json"
SEED = {
    "projectId": "proj_123",
    "filename": "src/controllers/UserController.php",
    "event": "modified",
    "filesize": 4096,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uid": 1000,
    "pid": 4512,
}


def assert_error(response: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Every refusal has the one shape."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert list(body)[:4] == ["status", "error", "code", "details"]
    assert body["status"] == "error"
    assert code is None or body["code"] == code
    return body


def test_seed_example_is_ingested(stage: Any) -> None:
    """The seed's own example, hash of nothing with a size of 4096, is answered as the seed says."""
    response = stage.request("PUT", PATH, json=SEED)

    body = response.json()
    assert response.status_code == 200
    assert list(body) == ["status", "eventId", "projectId", "inserted", "workflowTriggered"]
    assert body | {"eventId": ""} == {
        "status": "success",
        "eventId": "",
        "projectId": "proj_123",
        "inserted": True,
        "workflowTriggered": False,
    }
    assert body["eventId"].startswith("evt_")


def test_event_is_published_as_raw(stage: Any) -> None:
    """uid and pid are the process's; modified is a closeWrite that wrote; unknown fields are kept."""
    stage.request("PUT", PATH, json=SEED | {"eventId": "e:1", "host": "h1", "attempt": [1, {"a": None}]})

    batch = stage.broker.batches[0]
    event = batch.events[0]
    assert (batch.v, batch.project, batch.host, batch.agent, batch.first_seq) == (
        1,
        "proj_123",
        "h1",
        "api-test",
        1,
    )
    assert (event.kind, event.source, event.written, event.size) == ("closeWrite", "http", True, 4096)
    assert (event.actor.uid, event.actor.pid) == (1000, 4512)
    assert (event.uid, event.gid) == (None, None)
    assert event.http.event_id == "e:1"
    assert event.http.key_id == "writer"
    assert event.http.fields == {"attempt": [1, {"a": None}]}


@pytest.mark.parametrize(
    ("given", "shown", "kind"),
    [
        ("created", "created", "create"),
        ("modified", "modified", "closeWrite"),
        ("deleted", "deleted", "delete"),
        ("renamed", "renamed", "rename"),
        ("Create", "created", "create"),
        ("WriteFinished", "modified", "closeWrite"),
        ("Delete", "deleted", "delete"),
        ("créé ", "créé ", "unknown"),
        ("Modified", "Modified", "unknown"),
        ("x" * 64, "x" * 64, "unknown"),
    ],
)
def test_event_name_is_an_open_set(stage: Any, given: str, shown: str, kind: str) -> None:
    """Four names are canonical, three are aliases, any other is kept as it came."""
    stage.request("PUT", PATH, json=SEED | {"event": given})

    event = stage.broker.events[0]
    assert (event.http.event, event.kind) == (shown, kind)


def test_rename_carries_both_names(stage: Any) -> None:
    """renamedTo is the new name, normalised like the old one; without it the event has one name."""
    stage.request("PUT", PATH, json=SEED | {"event": "renamed", "renamedTo": "./b//c"})
    stage.request("PUT", PATH, json=SEED | {"event": "renamed"})

    both, one = stage.broker.events
    assert (both.path, both.renamed_to, both.moved) == (SEED["filename"], "b/c", "within")
    assert (one.kind, one.renamed_to, one.moved) == ("rename", None, None)


def test_repeated_event_id_is_not_inserted_again(stage: Any) -> None:
    """A retry gets 200, the same id, inserted false and triggers nothing."""
    first = stage.request("PUT", PATH, json=SEED | {"eventId": "e1"}).json()
    second = stage.request("PUT", PATH, json=SEED | {"eventId": "e1"})

    assert first["inserted"] is True
    assert second.status_code == 200
    assert second.json() == first | {"inserted": False, "workflowTriggered": False}


def test_same_event_id_with_other_content_conflicts(stage: Any) -> None:
    """The same id may not stand for two events."""
    stage.request("PUT", PATH, json=SEED | {"eventId": "e1"})

    assert_error(
        stage.request("PUT", PATH, json=SEED | {"eventId": "e1", "filesize": 1}), 409, "event_id_conflict"
    )


def test_equal_content_is_not_the_same_event(stage: Any) -> None:
    """Without id and time, identical reports are all kept: A, B, A is three events."""
    ids = {stage.request("PUT", PATH, json=SEED).json()["eventId"] for _ in range(3)}

    assert len(ids) == 3


def test_timestamp_mints_a_deterministic_id(stage: Any) -> None:
    """A retry that names its time is a duplicate, also with the same moment in another offset."""
    first = stage.request("PUT", PATH, json=SEED | {"timestampUtc": "2026-11-21T01:20:00Z"}).json()
    again = stage.request("PUT", PATH, json=SEED | {"timestampUtc": "2026-11-21T02:20:00+01:00"}).json()

    assert again == first | {"inserted": False}


def test_minted_id_ignores_what_is_not_in_its_recipe(stage: Any) -> None:
    """A repeat under a minted id that differs elsewhere is a duplicate, not a conflict."""
    timed = SEED | {"timestampUtc": "2026-11-21T01:20:00"}
    first = stage.request("PUT", PATH, json=timed).json()
    again = stage.request("PUT", PATH, json=timed | {"uid": 7, "filetype": "text/x-php"})

    assert again.status_code == 200
    assert again.json() == first | {"inserted": False}


def test_timestamp_becomes_the_time_of_the_event(stage: Any) -> None:
    """Naive times are UTC, offsets are converted, future times are kept."""
    for given in ("2126-11-21T01:20:00.123456", "2126-11-21T03:20:00.123456+02:00"):
        stage.request("PUT", PATH, json=SEED | {"timestampUtc": given})

    assert [event.time_ns for event in stage.broker.events] == [4950897600123456000] * 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", ""),
        ("filename", "/etc/passwd"),
        ("filename", "C:\\x"),
        ("filename", "\\\\server\\share"),
        ("filename", "a/../b"),
        ("filename", ".."),
        ("filename", "a\0b"),
        ("filename", "a\nb"),
        ("filename", "ä" * 2049),
        ("filename", 7),
        ("filename", "./"),
        ("event", ""),
        ("event", "x" * 65),
        ("event", None),
        ("filesize", -1),
        ("filesize", 2**63),
        ("filesize", 10**400),
        ("filesize", "4096"),
        ("filesize", 4096.0),
        ("filesize", True),
        ("filesize", None),
        ("uid", True),
        ("uid", "0"),
        ("pid", 1.5),
        ("pid", -1),
        ("sha256", "abc"),
        ("sha256", "g" * 64),
        ("sha256", 5),
        ("timestampUtc", "yesterday"),
        ("timestampUtc", 1700000000),
        ("timestampUtc", "1899-12-31T23:59:59Z"),
        ("timestampUtc", "2300-01-01T00:00:00Z"),
        ("timestampUtc", "0001-01-01T00:00:00+23:59"),
        ("eventId", ""),
        ("eventId", "a b"),
        ("eventId", "x" * 129),
        ("eventId", "evt_\n"),
        ("eventId", 5),
        ("projectId", "other"),
        ("projectId", None),
        ("projectId", 7),
        ("filetype", 7),
        ("host", "h" * 256),
        ("ingressToken", 7),
    ],
)
def test_bad_field_is_named(stage: Any, field: str, value: Any) -> None:
    """A field that breaks its rule is 422 and named, and nothing is published."""
    body = assert_error(stage.request("PUT", PATH, json=SEED | {field: value}), 422, "validation_failed")

    assert [detail["field"] for detail in body["details"]] == [field]
    assert not stage.broker.batches


def test_every_bad_field_is_named_at_once(stage: Any) -> None:
    """One answer tells all that is wrong."""
    body = assert_error(stage.request("PUT", PATH, json={"filesize": "1", "pid": False}), 422)

    assert {detail["field"] for detail in body["details"]} == {
        "projectId",
        "filename",
        "event",
        "filesize",
        "pid",
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("./a//b/", "a/b"),
        ("a\\b", "a\\b"),
        ("a/./b", "a/b"),
        ("c:d", "c:d"),
        ("…/ü", "…/ü"),
        ("a..b", "a..b"),
    ],
)
def test_filename_is_kept_in_one_spelling(stage: Any, given: str, kept: str) -> None:
    """`./` and `//` are normalised away; a backslash is an ordinary character."""
    stage.request("PUT", PATH, json=SEED | {"filename": given})

    assert stage.broker.events[0].path == kept


def test_sha256_is_stored_in_lower_case(stage: Any) -> None:
    """Hex digits have one spelling."""
    stage.request("PUT", PATH, json=SEED | {"sha256": "AB" * 32})

    assert stage.broker.events[0].sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":1e999}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b'{"a":"\xff"}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"filesize":' + b"9" * 5000 + b"}", "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"7", "not_an_object"),
    ],
)
def test_body_that_is_no_object_is_400(stage: Any, body: bytes, code: str) -> None:
    """Whatever the body is, it is answered and never a 500."""
    response = stage.request("PUT", PATH, content=body, headers={"Content-Type": "application/json"})

    assert_error(response, 400, code)


def test_deeply_nested_unknown_field_is_refused(stage: Any) -> None:
    """What later readers could not decode is not let in."""
    nested: Any = 1
    for _ in range(200):
        nested = [nested]

    body = assert_error(stage.request("PUT", PATH, json=SEED | {"x": nested}), 422)
    assert body["details"][0]["field"] == "x"


def test_repeated_json_key_is_read_once(stage: Any) -> None:
    """JSON leaves it open; the last one counts, as in most readers."""
    content = b'{"projectId":"proj_123","filename":"a","event":"created","filesize":1,"filesize":2}'
    response = stage.request("PUT", PATH, content=content, headers={"Content-Type": "application/json"})

    assert response.status_code == 200
    assert stage.broker.events[0].size == 2


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.api+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_content_type_must_be_json(stage: Any, content_type: str, status: int) -> None:
    """Another media type is 415."""
    import json

    response = stage.request(
        "PUT", PATH, content=json.dumps(SEED).encode(), headers={"Content-Type": content_type}
    )

    assert response.status_code == status


def test_content_type_may_be_absent(stage: Any) -> None:
    """A JSON body without a Content-Type is taken for what it is."""
    import json

    assert stage.request("PUT", PATH, content=json.dumps(SEED).encode()).status_code == 200


def test_announced_body_over_the_limit_is_not_read(make_stage: Any) -> None:
    """413 comes from Content-Length alone, before a byte is asked for."""
    stage = make_stage(max_body_bytes=1024)
    read: list[int] = []

    async def body() -> Any:
        for _ in range(2):
            read.append(len(read))
            yield b"x" * 1024

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body(), headers={"Content-Length": "2048"})

    response = stage.run(scenario)
    assert_error(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"


def test_streamed_body_over_the_limit_is_413(make_stage: Any) -> None:
    """A body of unknown length is refused as soon as it is over the limit."""
    stage = make_stage(max_body_bytes=1024)

    async def body() -> Any:
        for _ in range(3):
            yield b"x" * 1000

    async def scenario(client: httpx2.AsyncClient) -> Any:
        return await client.put(PATH, content=body())

    assert_error(stage.run(scenario), 413, "body_too_large")


@pytest.mark.parametrize(
    "query", ["?projectId=other", "?projectId=proj_123&projectId=proj_123", "?a=%FF", "?a=%00&projectId="]
)
def test_query_must_agree_with_the_path(stage: Any, query: str) -> None:
    """An id in the query that differs, parameters given twice or not in UTF-8 are 422."""
    assert_error(stage.request("PUT", PATH + query, json=SEED), 422)


def test_query_may_name_the_project(stage: Any) -> None:
    """The seed lists projectId as a query parameter."""
    assert stage.request("PUT", PATH + "?projectId=proj_123", json=SEED).status_code == 200


def test_undecided_event_is_503_with_its_id(make_stage: Any) -> None:
    """Without a decision in time the client learns when to retry, and with which id; then it is a repeat."""
    stage = make_stage(decision_timeout_ms=100)
    stage.broker.silent = True

    response = stage.request("PUT", PATH, json=SEED)

    body = assert_error(response, 503, "undecided")
    assert response.headers["retry-after"] == "1"
    assert body["eventId"] == stage.broker.events[0].http.event_id
    assert body["projectId"] == "proj_123"
    stage.broker.silent = False
    retried = stage.request("PUT", PATH, json=SEED | {"eventId": body["eventId"]}).json()
    assert (retried["eventId"], retried["inserted"]) == (body["eventId"], False)


def test_retry_with_a_minted_id_is_no_conflict(make_stage: Any) -> None:
    """The id of a 503 may be sent along with the timestamp from which it was minted."""
    stage = make_stage(decision_timeout_ms=100)
    stage.broker.silent = True
    timed = SEED | {"timestampUtc": "2026-11-21T01:20:00Z"}
    event_id = stage.request("PUT", PATH, json=timed).json()["eventId"]
    stage.broker.silent = False

    assert stage.request("PUT", PATH, json=timed | {"eventId": event_id, "uid": 5}).status_code == 200


def test_event_that_the_broker_did_not_take_is_503(stage: Any) -> None:
    """Never a 200 for an event that could be lost."""
    stage.broker.failing = True

    response = stage.request("PUT", PATH, json=SEED)

    assert_error(response, 503, "not_stored")
    assert "retry-after" in response.headers


def test_retries_of_a_pending_event_are_joined(stage: Any) -> None:
    """Ten requests for one id publish one event, and one of them inserted it."""

    async def scenario(client: httpx2.AsyncClient) -> list[Any]:
        puts = (client.put(PATH, json=SEED | {"eventId": "e1"}) for _ in range(10))
        return [response.json() for response in await asyncio.gather(*puts)]

    answers = stage.run(scenario)
    assert [answer["inserted"] for answer in answers].count(True) == 1
    assert len(stage.broker.events) == 1


def test_too_many_pending_events_are_503(make_stage: Any) -> None:
    """Memory is bounded: what cannot be awaited is not taken."""
    stage = make_stage(max_pending=1, decision_timeout_ms=200)
    stage.broker.silent = True

    async def scenario(client: httpx2.AsyncClient) -> list[Any]:
        return await asyncio.gather(*(client.put(PATH, json=SEED | {"eventId": f"e{n}"}) for n in range(3)))

    codes = sorted(response.json()["code"] for response in stage.run(scenario))
    assert codes == ["overloaded", "overloaded", "undecided"]


def test_processor_that_does_not_know_the_project_is_404(stage: Any) -> None:
    """The project may have been deleted meanwhile."""
    stage.broker.decision, stage.broker.reason = "refused", "unknown_project"

    assert_error(stage.request("PUT", PATH, json=SEED), 404, "unknown_project")


def test_processor_that_cannot_use_the_event_is_422(stage: Any) -> None:
    """A rule that only the processor knows is a rule all the same; trying again would not help."""
    stage.broker.decision, stage.broker.reason = "refused", "bad_event"

    assert_error(stage.request("PUT", PATH, json=SEED), 422, "validation_failed")


def test_unforeseen_failure_has_the_one_shape(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a defect is answered as JSON, and tells nothing of the inside."""
    monkeypatch.setattr(stage.registry, "key", None)

    body = assert_error(stage.request("PUT", PATH, json=SEED), 500, "internal")
    assert "NoneType" not in body["error"]


class TestStart:
    """POST starts a session."""

    def test_start_is_answered_and_recorded(self, stage: Any) -> None:
        """Each start is a record of its own; the answer is the same."""
        answers = [stage.request("POST", PATH, json={}).json() for _ in range(2)]

        assert answers == [{"status": "success", "projectId": "proj_123"}] * 2
        assert [event.kind for event in stage.broker.events] == ["session", "session"]
        assert {event.path for event in stage.broker.events} == {""}

    def test_start_may_have_no_body(self, stage: Any) -> None:
        """The token may be in the header, and some projects have none."""
        assert stage.request("POST", PATH).status_code == 200

    def test_start_checks_its_body(self, stage: Any) -> None:
        """What is given must be right."""
        assert_error(stage.request("POST", PATH, json=[]), 400)
        assert_error(stage.request("POST", PATH, content=b"{"), 400)
        assert_error(stage.request("POST", PATH, json={"projectId": "other"}), 422)
        assert_error(stage.request("POST", PATH, json={"ingressToken": 5}), 422)

    def test_undecided_start_is_503(self, make_stage: Any) -> None:
        """A start that was not stored is not answered as one."""
        stage = make_stage(decision_timeout_ms=100)
        stage.broker.silent = True

        assert_error(stage.request("POST", PATH), 503, "undecided")


class TestPattern:
    """Projects that a registered pattern allows."""

    def test_project_of_a_pattern_is_taken(self, stage: Any) -> None:
        """Agents register themselves on first sight."""
        stage.registry.patterns.add("proj_*")
        path = PATH.replace("proj_123", "proj_new")

        assert stage.request("PUT", path, json=SEED | {"projectId": "proj_new"}).status_code == 200

    def test_project_registered_a_moment_ago_is_found(self, stage: Any) -> None:
        """What the view lacks is looked for once more."""
        stage.registry.unread.append(Project("proj_late", 0))
        path = PATH.replace("proj_123", "proj_late")

        assert stage.request("PUT", path, json=SEED | {"projectId": "proj_late"}).status_code == 200
