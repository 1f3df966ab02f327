"""PUTs that are refused: by their fields, by the broker, by the processor."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.unit.api.put import PATH, SEED, assert_error

PATIENCE_MS = 30_000


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
    "query", ["?projectId=other", "?projectId=proj_123&projectId=proj_123", "?a=%FF", "?a=%00&projectId="]
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_query_must_agree_with_the_path(stage: Any, query: str, method: str) -> None:
    """An id in the query that differs, parameters given twice or not in UTF-8 are 422."""
    assert_error(stage.request(method, PATH + query, json=SEED if method == "PUT" else {}), 422)
    assert not stage.broker.batches


def decide_again(stage: Any) -> None:
    """Have what comes now decided, however long a busy machine takes for it."""
    stage.broker.silent = False
    stage.waiting._timeout_s = PATIENCE_MS / 1000


def test_undecided_event_is_503_with_its_id(make_stage: Any) -> None:
    """Without a decision in time the client learns when to retry, and with which id; then it is a repeat."""
    stage = make_stage(decision_timeout_ms=100)
    stage.broker.silent = True

    response = stage.request("PUT", PATH, json=SEED)

    body = assert_error(response, 503, "undecided")
    assert response.headers["retry-after"] == "1"
    assert body["eventId"] == stage.broker.events[0].http.event_id
    assert body["projectId"] == "proj_123"
    decide_again(stage)
    retried = stage.request("PUT", PATH, json=SEED | {"eventId": body["eventId"]}).json()
    assert (retried["eventId"], retried["inserted"]) == (body["eventId"], False)


def test_retry_with_a_minted_id_is_no_conflict(make_stage: Any) -> None:
    """The id of a 503 may be sent along with the timestamp from which it was minted."""
    stage = make_stage(decision_timeout_ms=100)
    stage.broker.silent = True
    timed = SEED | {"timestampUtc": "2026-11-21T01:20:00Z"}
    event_id = stage.request("PUT", PATH, json=timed).json()["eventId"]
    decide_again(stage)

    assert stage.request("PUT", PATH, json=timed | {"eventId": event_id, "uid": 5}).status_code == 200


def test_event_that_the_broker_did_not_take_is_503(stage: Any) -> None:
    """Never a 200 for an event that could be lost."""
    stage.broker.failing = True

    response = stage.request("PUT", PATH, json=SEED)

    assert_error(response, 503, "not_stored")
    assert "retry-after" in response.headers


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
