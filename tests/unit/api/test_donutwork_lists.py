"""PUTs of a list of events: each is answered in its place, and none spoils another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from processors.credentials import hash_secret
from processors.registry import Project
from tests.unit.api.put import PATH, SEED, assert_error


def put(stage: Any, *members: Any, **arguments: Any) -> Any:
    """Send a list of events: fields that differ from the seed's, or anything else as it is."""
    events = [SEED | member if isinstance(member, dict) else member for member in members]
    return stage.request("PUT", PATH, json=events, **arguments)


def statuses(response: Any) -> list[int]:
    return [answer["statusCode"] for answer in response.json()]


def test_list_is_answered_and_published_in_its_order(stage: Any) -> None:
    """One answer an event, as it would be alone, and one batch."""
    response = put(stage, *({"eventId": f"e{number}", "filename": f"f{number}"} for number in range(50)))

    assert response.status_code == 200
    assert response.json()[7] == {
        "statusCode": 200,
        "status": "success",
        "eventId": "e7",
        "projectId": "proj_123",
        "inserted": True,
        "workflowTriggered": False,
    }
    assert [answer["eventId"] for answer in response.json()] == [f"e{number}" for number in range(50)]
    assert [event.path for event in stage.broker.events] == [f"f{number}" for number in range(50)]


def test_bad_member_does_not_spoil_the_others(stage: Any) -> None:
    """207; each refusal has the one shape, and names its fields."""
    response = put(
        stage, {"eventId": "a"}, {"filename": "/x"}, 7, [], {"eventId": "b"}, {"projectId": "other"}
    )

    assert (response.status_code, statuses(response)) == (207, [200, 422, 400, 400, 200, 422])
    refused = response.json()[1]
    assert list(refused) == ["statusCode", "status", "error", "code", "details"]
    assert refused["details"][0]["field"] == "filename"
    assert [event.http.event_id for event in stage.broker.events] == ["a", "b"]


def test_repeats_and_conflicts_within_a_list_are_decided(stage: Any) -> None:
    """As if they had come one after the other."""
    response = put(stage, {"eventId": "a"}, {"eventId": "a"}, {"eventId": "a", "filesize": 1})

    assert statuses(response) == [200, 200, 409]
    assert [answer.get("inserted") for answer in response.json()] == [True, False, None]


def test_empty_list_is_answered_by_one(stage: Any) -> None:
    """Nothing to do is no error."""
    response = put(stage)

    assert (response.status_code, response.json()) == (200, [])


def test_undecided_member_tells_when_and_with_which_id_to_retry(make_stage: Any) -> None:
    """The header is the list's, the id the member's."""
    stage = make_stage(decision_timeout_ms=100)
    stage.broker.silent = True

    response = put(stage, {"eventId": "a"}, {"uid": True})

    assert (response.status_code, response.headers["retry-after"]) == (207, "1")
    assert statuses(response) == [503, 422]
    assert response.json()[0]["eventId"] == "a"


@pytest.mark.parametrize("body", [b"[", b"[{}", b'[{"a":NaN}]', b"[\xff]", b" \n["])
def test_list_that_is_no_json_is_refused_as_a_whole(stage: Any, body: bytes) -> None:
    """Where one event ends and the next begins is not known."""
    assert_error(stage.request("PUT", PATH, content=body), 400, "not_json")


def test_list_is_bounded(make_stage: Any) -> None:
    """In events, in bytes, and each event in bytes: only the last leaves the others alone."""
    stage = make_stage(max_body_bytes=1024, max_bulk_body_bytes=8192)

    assert_error(stage.request("PUT", PATH, content=b"[" + b"1," * 1000 + b"1]"), 413, "list_too_long")
    assert_error(put(stage, {"x": "y" * 8192}), 413, "body_too_large")
    assert statuses(put(stage, {}, {"x": "y" * 1024}, {})) == [200, 413, 200]


def test_single_event_keeps_its_limit(make_stage: Any) -> None:
    """What a list may have in all, one event may not."""
    stage = make_stage(max_body_bytes=1024, max_bulk_body_bytes=8192)

    assert_error(stage.request("PUT", PATH, json=SEED | {"x": "y" * 1024}), 413, "body_too_large")


def test_content_type_of_a_list_must_be_json(stage: Any) -> None:
    """As of one event."""
    body = json.dumps([SEED]).encode()

    assert_error(stage.request("PUT", PATH, content=body, headers={"Content-Type": "text/csv"}), 415)


def test_start_takes_no_list(stage: Any) -> None:
    """There is one session to start."""
    assert_error(stage.request("POST", PATH, json=[{}]), 400, "not_an_object")


def test_token_of_each_member_is_checked(stage: Any) -> None:
    """Each has its own, or the header's; both and different is refused."""
    stage.registry.add(Project("proj_123", 0, hash_secret("DM")))
    tokens = ({"ingressToken": "DM"}, {}, {"ingressToken": "no"})

    assert statuses(put(stage, *tokens)) == [200, 401, 401]
    assert statuses(put(stage, *tokens, headers={"X-Directory-Monitor-Token": "DM"})) == [200, 200, 401]


def test_each_event_counts_for_the_rate(make_stage: Any) -> None:
    """A list is no way around the limit, and what it took too much is paid for afterwards."""
    stage = make_stage(requests_per_s=0.001, requests_burst=5)

    first = put(stage, *[{}] * 10)
    second = put(stage, {})

    assert first.status_code == 200
    assert_error(second, 429, "rate_limited")
