import json
from typing import Any

import pytest

from agent.event import Actor, Event, Gap, Http
from processors import donutwork
from tests.unit.processors.raw import event, origin

GAP = Gap("gap_1", "overflow")


def made(of: Event) -> dict[str, Any]:
    value = donutwork.record(origin(), of, "evt_1", 7)
    assert value is not None
    decoded: dict[str, Any] = json.loads(value)
    return decoded


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (event("create"), "created"),
        (event("modify"), "written"),
        (event("modify", source="rescan"), "modified"),
        (event("modify", source="startup"), "modified"),
        (event("modify", written=True), "modified"),
        (event("closeWrite", written=True), "modified"),
        (event("closeWrite", changed=["data", "mtime"]), "modified"),
        (event("closeWrite", changed=["size"]), "modified"),
        (event("closeWrite", changed=["mtime"]), "closed"),
        (event("closeWrite"), "closed"),
        (event("delete"), "deleted"),
        (event("rename", renamed_to="b"), "renamed"),
        (event("rename", renamed_to="b", moved="within"), "renamed"),
        (event("rename", moved="in"), "created"),
        (event("rename", moved="out"), "deleted"),
        (event("attribute", changed=["mode"]), "attributes"),
        (event("access"), "accessed"),
        (event("open"), "opened"),
        (event("closeNoWrite"), "closed"),
        (event("unknown"), "unknown"),
        (event("gap", gap=GAP), "gap"),
        (event("gap_closed", gap=GAP), "gap_closed"),
    ],
)
@pytest.mark.parametrize("is_dir", [False, True])
def test_name_of_every_kind(of: Event, name: str, is_dir: bool) -> None:
    """Each raw kind has the Donutwork name that DESIGN gives it, for files and directories."""
    of.is_dir = is_dir

    assert made(of)["event"] == name


@pytest.mark.parametrize("kind", ["baseline", "session"])
def test_record_of_kinds_without_one(kind: str) -> None:
    """A baseline and a session have no record in the vocabulary, even where a client reported them."""
    http = Http("id", "c", "session")

    assert donutwork.record(origin(), event(kind), "evt_1", 1) is None
    assert donutwork.record(origin(), event(kind, http=http), "evt_1", 1) is None


def test_http_event_keeps_its_name_key_and_fields() -> None:
    """What a client called an event, its key and its unknown fields stand in the record."""
    http = Http("id-1", "c", "Compiled", key_id="key_1", fields={"tool": {"name": "cc"}})
    record = made(event("unknown", source="http", http=http, size=12, actor=Actor(pid=5, uid=0)))

    assert record["event"] == "Compiled"
    assert (record["keyId"], record["fields"]) == ("key_1", {"tool": {"name": "cc"}})
    assert (record["uid"], record["pid"], record["filesize"]) == (0, 5, 12)


@pytest.mark.parametrize(
    ("of", "size"),
    [
        (event("create", size=5), 5),
        (event("create", size=4096, is_dir=True), 0),
        (event("delete", size=5), 0),
        (event("rename", size=5, moved="out"), 0),
        (event("rename", size=5, moved="in"), 5),
        (event("gap", gap=GAP), 0),
        (event("create"), 0),
        (event("delete", size=5, source="http", http=Http("i", "c", "deleted")), 0),
    ],
)
def test_filesize_is_always_there(of: Event, size: int) -> None:
    """The size is 0 for directories, deletions and gaps, also where a client said otherwise."""
    assert made(of)["filesize"] == size


def test_record_leaves_out_what_is_unknown() -> None:
    """A record holds exactly what is known, with times in ISO 8601 and microseconds."""
    assert made(event("create")) == {
        "eventId": "evt_1",
        "projectId": "p",
        "filename": "src/a.py",
        "event": "created",
        "filesize": 0,
        "timestampUtc": "2025-11-21T01:20:00.123456Z",
        "sentAt": "2025-11-21T01:20:01.123456Z",
        "receivedAt": "2025-11-21T01:20:01.500000Z",
        "host": "host-1",
        "agent": "agt_1",
        "epoch": "e1",
        "seq": 7,
        "source": "kernel",
    }


def test_owner_and_actor_are_told_apart() -> None:
    """`uid` is the process's, `ownerUid` and `ownerGid` are the file's."""
    record = made(event("create", uid=1000, gid=100, actor=Actor(pid=1, uid=0, exe="/bin/sh")))

    assert (record["uid"], record["pid"], record["exe"]) == (0, 1, "/bin/sh")
    assert (record["ownerUid"], record["ownerGid"]) == (1000, 100)


def test_late_event_is_flagged() -> None:
    """An event that filled a hole says so."""
    value = donutwork.record(origin(), event(), "evt_1", 1, late=True)

    assert json.loads(value or b"")["late"] is True
