"""PUT and POST of the Donutwork contract: what is answered and what is published."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from processors.registry import Project
from tests.unit.api.put import PATH, SEED, assert_error


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


def test_query_may_name_the_project(stage: Any) -> None:
    """The seed lists projectId as a query parameter."""
    assert stage.request("PUT", PATH + "?projectId=proj_123", json=SEED).status_code == 200


def test_retries_of_a_pending_event_are_joined(stage: Any) -> None:
    """Ten requests for one id publish one event, and one of them inserted it."""

    async def scenario(client: httpx2.AsyncClient) -> list[Any]:
        puts = (client.put(PATH, json=SEED | {"eventId": "e1"}) for _ in range(10))
        return [response.json() for response in await asyncio.gather(*puts)]

    answers = stage.run(scenario)
    assert [answer["inserted"] for answer in answers].count(True) == 1
    assert len(stage.broker.events) == 1


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
