"""The commands against a running system: what they print, and what they change."""

from __future__ import annotations

import asyncio
import json
import secrets
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agent.event import Event, decode_batch
from processors import topics
from processors.rows import Row
from processors.sink_parking import Parking
from tests.integration.raw_topic import batch_of, publish
from tests.integration.running import FSWIRE, PATIENCE_S, Stack

pytestmark = pytest.mark.stack


def path_of(project: str) -> str:
    return f"/2026-02-01/directory-monitor/{project}.json"


def event(project: str, **fields: object) -> dict[str, object]:
    return {"projectId": project, "filename": "a.txt", "event": "created", "filesize": 1} | fields


def test_sql_prints_tab_separated_rows(stack: Stack) -> None:
    """Where standard output is no terminal: a head, then rows, tabs and line ends escaped."""
    done = stack.command(
        "sql", r"SELECT 1 AS one, 'a\tb' AS text, NULL AS none, [1, 2] AS list FROM events LIMIT 1"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "one\ttext\tnone\tlist\n1\ta\\tb\t\\N\t[1, 2]\n"


def test_sql_that_is_refused_ends_with_the_reason(stack: Stack) -> None:
    """A query that would read a file is one line on standard error, status 1."""
    done = stack.command("sql", "SELECT file('/etc/hostname')")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "file" in done.stderr


def test_project_and_key_are_made_and_work(stack: Stack) -> None:
    """A project with a token, a key printed alone: the two together put an event, one alone does not."""
    project = f"cmd-{secrets.token_hex(4)}"

    made = stack.command("project", "create", project, "--ingress-token", "-", stdin="sesame\n")
    key = stack.command("key", "create", "--project", project, "--scope", "directory_monitor:write")

    assert made.returncode == 0, made.stderr
    assert len(key.stdout.split()) == 1
    credential = key.stdout.strip()
    assert stack.send("PUT", path_of(project), event(project), credential)[0] == 401
    assert stack.send("PUT", path_of(project), event(project, ingressToken="sesame"), credential)[0] == 200


def test_revoked_key_is_refused(stack: Stack) -> None:
    """A key that was revoked opens nothing, and is listed as such without its secret."""
    credential = stack.command(
        "key",
        "create",
        "--project",
        stack.project,
        "--scope",
        "directory_monitor:write",
        "--expires-in",
        "1h",
    ).stdout.strip()
    key_id, _, secret = credential.partition(".")

    revoked = stack.command("key", "revoke", key_id)
    stack.settle()

    listed = stack.command("key", "list").stdout
    assert revoked.returncode == 0, revoked.stderr
    assert stack.send("PUT", path_of(stack.project), event(stack.project), credential)[0] == 401
    assert next(line for line in listed.splitlines() if key_id in line).endswith("true")
    assert secret not in listed


def test_deleted_project_takes_no_events(stack: Stack) -> None:
    """A project that was deleted is unknown again; deleting it twice says so."""
    project = f"cmd-{secrets.token_hex(4)}"
    stack.command("project", "create", project)

    deleted = stack.command("project", "delete", project)
    stack.settle()

    assert deleted.returncode == 0, deleted.stderr
    assert stack.send("PUT", path_of(project), event(project))[0] == 404
    assert project not in stack.command("project", "list").stdout
    assert f"there is no project or pattern '{project}'" in stack.command("project", "delete", project).stderr


def test_allowed_pattern_lets_projects_in(stack: Stack) -> None:
    """A name that matches a pattern is taken without being registered."""
    word = secrets.token_hex(4)

    stack.command("project", "allow", f"{word}-*")

    assert f"pattern\t{word}-*\t" in stack.command("project", "list").stdout
    assert stack.send("PUT", path_of(f"{word}-host"), event(f"{word}-host"))[0] == 200


def test_workflow_is_applied_listed_triggered_and_deleted(stack: Stack, tmp_path: Path) -> None:
    """Taken up without a restart; a file with a fault is refused in one line and changes nothing."""
    project = f"flow-{secrets.token_hex(4)}"
    stack.command("project", "create", project)
    file = tmp_path / "flow.toml"
    file.write_text(
        f'[[workflow]]\nname = "{project}"\nproject = "{project}"\n'
        f'trigger = "DirectoryMonitor.{project}.created.notify"\n[workflow.action.topic]\ntopic = "nowhere"\n'
    )

    applied = stack.command("workflow", "apply", str(file))
    listed = stack.command("workflow", "list")
    stack.settle()
    _, answer = stack.send("PUT", path_of(project), event(project), stack.admin_key)
    file.write_text(file.read_text().replace("topic]", "mail]"))
    refused = stack.command("workflow", "apply", str(file))
    deleted = stack.command("workflow", "delete", project)

    assert (applied.returncode, applied.stdout) == (0, f"{project}: applied\n")
    assert f"{project}\t{project}\tDirectoryMonitor.{project}.created.notify\ttopic" in listed.stdout
    assert isinstance(answer, dict)
    assert answer["workflowTriggered"] is True
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "mail" in refused.stderr
    assert deleted.returncode == 0
    assert project not in stack.command("workflow", "list").stdout


def test_dead_letters_are_listed_shown_and_replayed(stack: Stack) -> None:
    """What an unregistered project sent waits, and is taken once its project is there.

    Nothing is doubled; what was replayed is marked, and tried again only by its place.
    """
    project = f"late-{secrets.token_hex(4)}"
    batch = batch_of(project, 1, *(Event("create", f"f{number}", time.time_ns()) for number in range(3)))
    asyncio.run(publish(stack.kafka, batch))

    listed: list[list[str]] = []
    while not listed:
        shown = stack.command("dead-letters", "list", "--project", project).stdout
        listed = [line.split("\t") for line in shown.splitlines()[1:]]
    place = listed[0][0]
    held = stack.command("dead-letters", "show", place)
    too_early = stack.command("dead-letters", "replay")
    stack.command("project", "create", project)
    chosen = (("--project", project), ("--project", project), (place,))
    replayed = [stack.command("dead-letters", "replay", *each) for each in chosen]
    marked = stack.command("dead-letters", "list", "--project", project).stdout.splitlines()

    assert listed[0][4] == "unknown_project"
    assert decode_batch(held.stdout.encode()).events == batch.events
    assert (too_early.returncode, len(too_early.stderr.splitlines())) == (1, 1)
    assert [each.stdout for each in replayed] == [f"{place}: replayed\n", "", f"{place}: replayed\n"]
    assert [line.split("\t")[0] for line in marked[1:]] == [place]
    assert (listed[0][-1], marked[1].split("\t")[-1][:2]) == ("\\N", "20")
    count = f"SELECT count() FROM events WHERE project_id = '{project}'"
    stack.await_rows(count, 3)
    assert stack.command("dead-letters", "replay", "99:1").returncode == 1


def test_letters_are_replayed_past_one_that_is_refused_again(stack: Stack) -> None:
    """What of each became stands in a line of its own; the status tells that one was refused."""
    project, topic = f"rows-{secrets.token_hex(4)}", stack.kafka.topic(topics.DONUTWORK)
    good = f'{{"eventId":"{project}","projectId":"{project}"}}'.encode()
    bad = good.replace(b"}", b',"filesize":"much"}')

    async def park() -> None:
        parking = Parking(stack.kafka)
        for offset, value in ((10**9, bad), (10**9 + 1, good)):
            await parking.park(topic, 0, Row(offset, value, project.encode(), 0), "why")
        await parking.close()

    asyncio.run(park())

    replayed = stack.command("dead-letters", "replay", "--project", project)

    assert (replayed.returncode, replayed.stderr) == (1, "")
    assert [line.split(": ")[1] for line in replayed.stdout.splitlines()] == ["not replayed", "replayed"]
    stack.await_rows(f"SELECT count() FROM events WHERE project_id = '{project}'", 1)


def test_topics_and_schema_are_applied_twice_without_a_change(stack: Stack) -> None:
    """Applying what is there does nothing; another partition count is refused."""
    again = stack.command("topics", "apply", "--partitions", "4", "--replication", "1")
    other = stack.command("topics", "apply", "--partitions", "5", "--replication", "1")
    schema = stack.command("schema", "apply")

    assert (again.returncode, again.stdout) == (0, "")
    assert other.returncode == 1
    assert "partition count" in other.stderr
    assert all(line.endswith("already applied") for line in schema.stdout.splitlines())


@pytest.mark.parametrize("vocabulary", ["donutwork", "watch", "notify"])
def test_tail_prints_each_change_as_a_line(stack: Stack, vocabulary: str) -> None:
    """Every vocabulary can be followed; each value is a line, at once."""
    name = f"tail-{secrets.token_hex(4)}"
    command = [FSWIRE, "tail", stack.project, "--vocabulary", vocabulary, "--data-dir", str(stack.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        follows: list[object] = []
        while not follows and time.monotonic() < deadline:  # it tells nobody from when on
            (stack.watched / f"{name}-{secrets.token_hex(4)}").touch()
            follows = select.select([tail.stdout], [], [], 0.3)[0]
        line = tail.stdout.readline().decode() if follows else ""
        tail.send_signal(signal.SIGINT)
        try:
            _, errors = tail.communicate(timeout=PATIENCE_S)
        finally:
            tail.kill()  # else the end of the block would wait for ever

    assert follows
    assert json.loads(line)
    assert (tail.returncode, errors) == (130, b"")
