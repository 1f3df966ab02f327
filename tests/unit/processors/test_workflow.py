"""Workflow files, what they match, and the runs that a chunk queues."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.event import Actor, Event, Gap, Http, Reply
from processors import runs, workflow
from processors.chunk import Chunk
from processors.decode import decode
from processors.runs import run_id
from processors.state import Draft
from processors.triggers import Triggers
from processors.workflow import Workflow, WorkflowRefused
from tests.unit.processors.raw import (
    Stored,
    batch,
    event,
    headers_of,
    key_of,
    record,
    records,
    state,
    values,
)

FILE = """
[[workflow]]
name = "rebuild"
project = "p"
trigger = "DirectoryMonitor.p.modified.notify"
include = ["src/**/*.py"]

[workflow.action.webhook]
url = "https://ci.example/hook"
secret_env = "REBUILD_SECRET"
"""
A = "a" * 64
ACTION, COMMAND = "topic", "command"
"""In the place of the webhook."""


def one(**changed: Any) -> Workflow:
    """Return a workflow for every event of project `p`, with changes."""
    values: dict[str, Any] = {
        "name": "w",
        "project": "p",
        "trigger": f"DirectoryMonitor.{changed.get('project', 'p')}.notify",
        "action": workflow.Action(topic=workflow.ToTopic("other")),
    }
    return Workflow(**values | changed)


def made(*events: Event, workflows: tuple[Workflow, ...]) -> Chunk:
    triggers = Triggers({each.name: each for each in workflows})
    chunk = Chunk("fswire.raw", 0, Draft(state(), Stored()), (), triggers)
    raw = record(41, batch(*events))
    chunk.take(raw, decode(raw.value, 0, 1))
    return chunk


def queued(chunk: Chunk) -> list[runs.Run]:
    return [runs.decode(value or b"") for _, _, value, _ in records(chunk.outputs.runs)]


def test_file_is_read() -> None:
    """Every table becomes a workflow, with defaults for what it does not say."""
    (found,) = workflow.read(FILE, now_ns=5)

    assert (found.name, found.event, found.include, found.created_ns) == (
        "rebuild",
        "modified",
        ("src/**/*.py",),
        5,
    )
    assert found.action.webhook == workflow.Webhook("https://ci.example/hook", "REBUILD_SECRET")
    assert found.retry.attempts == 5


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "rebuild"', 'name = "no name"', "name"),
        ('project = "p"', 'project = "../p"', "project"),
        ("p.modified.notify", "q.modified.notify", "trigger"),
        ("p.modified.notify", "p.modified", "trigger"),
        ("p.modified.notify", "p..notify", "trigger"),
        ("https://", "ftp://", "url"),
        ("secret_env", "secret", "secret"),
        ("[workflow.action.webhook]", "[workflow.action.mail]", "mail"),
        ("include = [", "includes = [", "includes"),
        ("[[workflow]]", "[[workflow", "Expected"),
        ('name = "rebuild"', 'name = "rebuild\\n"', "name"),
        ("src/**/*.py", "[z-a]", "'rebuild'.*does not parse"),
        ("src/**/*.py", "!", "'!'"),
        ("include = [", "exclude = ['/',", "'/'"),
        ("ci.example", "ci..example", "url"),
        ("ci.example", "ci.example:99999", "url"),
        ("ci.example", "[::1", "url"),
        ("ci.example", "", "url"),
        ("/hook", "/hook\\u007f", "url"),
        ("/hook", "/hook\\n", "url"),
        ("include = [", "min_bytes = 5\nmax_bytes = 4\ninclude = [", "max_bytes = 4"),
        (ACTION, 'topic = ".."', "topic"),
        (ACTION, 'topic = "t\\n"', "topic"),
        (COMMAND, 'argv = ["a", "b\\u0000"]', "argv"),
    ],
)
def test_file_with_a_fault_is_refused_by_name(old: str, new: str, told: str) -> None:
    """The message says which key; nothing of the file is taken."""
    if old in (ACTION, COMMAND):
        old, new = FILE.partition("[workflow.action")[2], f".{old}]\n{new}\n"
    with pytest.raises(WorkflowRefused, match=told):
        workflow.read(FILE.replace(old, new), now_ns=0)


def test_file_with_two_of_a_name_is_refused() -> None:
    """The second would silently take the place of the first."""
    with pytest.raises(WorkflowRefused, match="rebuild"):
        workflow.read(FILE + FILE, now_ns=0)


@pytest.mark.parametrize(
    ("filters", "told", "fires"),
    [
        ({}, event("create"), True),
        ({}, event("gap"), False),
        ({"trigger": "DirectoryMonitor.p.gap.notify"}, event("gap"), True),
        ({"trigger": "DirectoryMonitor.p.deleted.notify"}, event("delete"), True),
        ({"trigger": "DirectoryMonitor.p.deleted.notify"}, event("create"), False),
        ({"kinds": ("modified", "deleted")}, event("create"), False),
        ({"kinds": ("modified", "deleted")}, event("delete"), True),
        ({"include": ("*.py",)}, event("create", "src/a.py"), True),
        ({"include": ("*.py",)}, event("create", "src/a.c"), False),
        ({"include": ("*.py",)}, event("rename", "a.tmp", renamed_to="a.py"), True),
        ({"exclude": ("build/",)}, event("create", "build/a.py"), False),
        ({"exclude": ("build/",)}, event("create", "build", is_dir=True), False),
        ({"exclude": ("build/",)}, event("create", "build"), True),
        ({"include": ("build/",)}, event("delete", "build", is_dir=True), True),
        ({"include": ("src/**/*.py",)}, event("create", "src/a\nb/c.py"), True),
        ({"include": ("*.py",)}, event("create", "a.py\n"), False),
        ({"include": ("a?b",)}, event("create", "a\ufffdb", path_b64="Yf9i"), True),
        ({"include": (".*",)}, event("create", "sub/.hidden"), True),
        ({"exclude": ("out/",)}, event("rename", "out/a", renamed_to="in/a"), True),
        ({"exclude": ("out/",)}, event("rename", "out/a", renamed_to="out/b"), False),
        ({"min_bytes": 10}, event("create", "d", is_dir=True, size=4096), False),
        ({"min_bytes": 10}, event("delete", size=20), False),
        ({"min_bytes": 10, "max_bytes": 20}, event("create", size=9), False),
        ({"min_bytes": 10, "max_bytes": 20}, event("create", size=20), True),
        ({"min_bytes": 10, "max_bytes": 20}, event("create", size=21), False),
        ({"uids": (0, 7)}, event("create", actor=Actor(uid=7)), True),
        ({"uids": (0, 7)}, event("create"), False),
        ({"project": "q-*"}, event("create"), False),
        ({"project": "p*"}, event("create"), True),
    ],
)
def test_filters_decide(filters: dict[str, Any], told: Event, fires: bool) -> None:
    """Trigger, kinds, patterns, size, user and project all have to fit."""
    if told.kind == "gap":
        told.gap = Gap("gap_1", "overflow")

    assert bool(queued(made(told, workflows=(one(**filters),)))) is fires


def test_workflow_that_cannot_be_used_stops_no_event() -> None:
    """One that an earlier version let into the registry is left out, and said; the others count."""
    chunk = made(event("create"), workflows=(one(include=("[z-a]",)), one(name="v")))

    assert [each.workflow for each in queued(chunk)] == ["v"]


def test_run_is_queued_once_for_each_workflow_with_its_event() -> None:
    """Its id follows from both, so that a chunk that is made again queues the same run."""
    chunk = made(event("create", "f"), workflows=(one(), one(name="v")))

    found = queued(chunk)
    history = values(chunk.outputs.donutwork)[0]
    assert [each.workflow for each in found] == ["w", "v"]
    assert [each.id for each in found] == [run_id(name, history["eventId"]) for name in ("w", "v")]
    assert {each.state for each in found} == {"queued"}
    assert json.loads(bytes(found[0].event)) == history
    _, key, _, headers = records(chunk.outputs.runs)[0]
    assert (key_of(key), headers_of(headers)) == (found[0].id, {"src": "41.0.0"})


def test_duplicate_and_what_has_no_record_trigger_nothing() -> None:
    """Content that is there already, a baseline and a session start no run."""
    written = event("closeWrite", "f", written=True, sha256=A)

    chunk = made(event("baseline", "f", sha256=A), written, event("session", ""), workflows=(one(),))

    assert queued(chunk) == []


def test_outcome_says_whether_a_run_was_queued() -> None:
    """True exactly when there is one: a new id with content that is known has none."""
    puts = [
        event(
            "closeWrite",
            "f",
            source="http",
            sha256=A,
            written=True,
            http=Http(identity, identity, "modified", reply=Reply(identity, 0)),
        )
        for identity in ("id-1", "id-1", "id-2")
    ]

    chunk = made(*puts, workflows=(one(),))

    answers = [json.loads(each.value) for each in chunk.outputs.outcomes]
    assert [(each["decision"], each.get("workflow_triggered", False)) for each in answers] == [
        ("inserted", True),
        ("repeated", False),
        ("inserted", False),
    ]
    assert len(queued(chunk)) == 1


def test_triggers_follow_the_registry() -> None:
    """A workflow that is applied, changed or deleted counts from the next event on."""
    workflows = {"w": one()}
    triggers = Triggers(workflows)

    assert [each.workflow for each in triggers.of("p")] == ["w"]
    workflows["w"] = one(project="q")
    assert triggers.of("p") == ()
    workflows.clear()
    assert triggers.of("q") == ()
