"""Lists of events against the whole stack, and what history says of the workflows that events triggered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.monitoring import Monitor

pytestmark = pytest.mark.stack


def test_list_is_stored_in_its_order(monitor: Monitor) -> None:
    """As an agent that catches up sends it: events of one path stay in their order, and all are rows."""
    events = [
        monitor.event(eventId=f"e{number:03}", filename=f"f{number % 7}", sha256=f"{number:064x}")
        for number in range(500)
    ]

    response = monitor.client.put(monitor.path, json=events)

    assert response.status_code == 200, response.text
    assert [answer["eventId"] for answer in response.json()] == [event["eventId"] for event in events]
    assert all(answer["inserted"] for answer in response.json())
    monitor.await_count(500)
    order = f"SELECT event_id FROM events WHERE project_id = '{monitor.project}' ORDER BY kafka_offset"
    assert monitor.stack.query(order).split() == [event["eventId"] for event in events]


def test_each_member_of_a_list_is_decided(monitor: Monitor) -> None:
    """New, repeated, in conflict, refused: each in its place, and what was good is stored."""
    monitor.put(eventId="old")
    members: list[Any] = [
        monitor.event(eventId="new"),
        monitor.event(eventId="old"),
        monitor.event(eventId="old", filesize=1),
        monitor.event(filename="../x"),
        "no event",
        monitor.event(eventId="last", filename="b"),
    ]

    response = monitor.client.put(monitor.path, json=members)

    answers = response.json()
    assert (response.status_code, [answer["statusCode"] for answer in answers]) == (
        207,
        [200, 200, 409, 422, 400, 200],
    )
    assert [answer.get("inserted") for answer in answers] == [True, False, None, None, None, True]
    monitor.await_count(3)
    assert {item["eventId"] for item in monitor.history()["items"]} == {"old", "new", "last"}


def test_deletion_has_no_size(monitor: Monitor) -> None:
    """Whatever the client said: a record's `filesize` is 0 for what is gone."""
    monitor.put(event="deleted", filesize=4096)
    monitor.await_count(1)

    assert monitor.history()["items"][0]["filesize"] == 0


def test_history_names_the_runs_of_an_event(monitor: Monitor, tmp_path: Path) -> None:
    """Each workflow that an event triggered, with the state that its run has reached."""
    project = monitor.project
    file = tmp_path / "flow.toml"
    file.write_text(
        "".join(
            f'[[workflow]]\nname = "{name}-{project}"\nproject = "{project}"\n'
            f'trigger = "DirectoryMonitor.{project}.created.notify"\n'
            f'[workflow.action.topic]\ntopic = "{topic}"\n'
            for name, topic in (("good", f"{project}-topic"), ("bad", "fswire.raw"))
        )
    )
    applied = monitor.stack.command("workflow", "apply", str(file))
    assert applied.returncode == 0, applied.stderr
    monitor.stack.settle()

    triggering = monitor.put(event="created", eventId="one")
    monitor.put(event="deleted", eventId="two")

    monitor.await_count(2)
    ended = f"SELECT countIf(state = 'failed') FROM runs FINAL WHERE project_id = '{project}'"
    monitor.stack.await_rows(ended, 1)
    monitor.stack.await_rows(f"SELECT count() FROM runs FINAL WHERE project_id = '{project}'", 2)
    items = {item["eventId"]: item["workflows"] for item in monitor.history()["items"]}
    for name in ("good", "bad"):
        monitor.stack.command("workflow", "delete", f"{name}-{project}")
    assert triggering["workflowTriggered"] is True
    assert items["two"] == []
    assert [run["name"] for run in items["one"]] == [f"bad-{project}", f"good-{project}"]
    assert items["one"][0]["state"] == "failed"
    assert items["one"][1]["state"] in ("queued", "running", "succeeded", "failed")
