"""What each raw event becomes in the three vocabularies, as checked in under `golden/` and read by people.

`python -m tests.unit.processors.test_golden` writes the files anew: what differs is then to be read, line by
line, against the contracts, before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agent.event import Changed, Event, GapReason, HashStatus, Kind, Moved, Source
from processors import donutwork, notify, watch
from processors.decode import event_fault
from tests.unit.processors.golden.events import GROUPS
from tests.unit.processors.raw import origin

DIRECTORY = Path(__file__).parent / "golden"
_COMMON = ("eventId", "projectId", "sentAt", "receivedAt", "host", "agent", "epoch", "seq")
"""Fields of a Donutwork record that come with its batch: the same in every case, said once a file."""
NOTIFY_TYPES = {
    *(
        f"child_{what}_{how}"
        for what in ("file", "dir")
        for how in ("added", "removed", "moved_from", "moved_to")
    ),
    *(f"child_{what}_changed" for what in ("size", "mtime", "atime", "btime", "owner", "group", "acl")),
    *("child_data_written", "child_extra_attrs_changed"),
    *(f"child_stream_{how}" for how in ("added", "removed", "data_written", "size_changed")),
    *("child_stream_moved_from", "child_stream_moved_to"),
}
"""The 24 of the contract but `self_removed`, which depends on what is watched: the api tells it."""


def become(event: Event) -> dict[str, Any]:
    """Return a raw event and what it becomes, as a golden file has it."""
    history = donutwork.record(origin(), event, "evt_1", 7)
    notifications = notify.record("p", event)
    return {
        "raw": json.loads(msgspec.json.encode(event)),
        "donutwork": None if history is None else json.loads(history),
        "watch": [json.loads(each) for each in watch.records("/p", event)],
        "notify": None if notifications is None else json.loads(notifications),
    }


def rendered(cases: dict[str, Event]) -> str:
    """Return a golden file: a line for each record, and what is common to all of Donutwork's once."""
    made = {name: become(event) for name, event in cases.items()}
    records = [each["donutwork"] for each in made.values() if each["donutwork"]]
    common = {name: records[0][name] for name in _COMMON}
    for record in records:
        assert {name: record.pop(name) for name in _COMMON} == common
    blocks = [f'"every donutwork record": {_line(common)}', *(_block(*each) for each in made.items())]
    return "{\n" + ",\n\n".join(blocks) + "\n}\n"


def _block(name: str, case: dict[str, Any]) -> str:
    lines = [f"  {_line(key)}: {_lines(value)}" for key, value in case.items()]
    return f"{_line(name)}: {{\n" + ",\n".join(lines) + "\n}"


def _lines(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return _line(value)
    return "[\n" + ",\n".join(f"    {_line(each)}" for each in value) + "\n  ]"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def golden(group: str) -> dict[str, Any]:
    """Return what a golden file says."""
    found: dict[str, Any] = json.loads((DIRECTORY / f"{group}.json").read_text("utf-8"))
    return found


def cases() -> list[dict[str, Any]]:
    """Return the cases of all files."""
    return [case for group in GROUPS for name, case in golden(group).items() if "raw" in case]


@pytest.mark.parametrize("group", GROUPS)
def test_golden_file_is_what_the_code_makes(group: str) -> None:
    """A record that changed shows as a difference; `python -m tests.unit.processors.test_golden` takes it."""
    written = (DIRECTORY / f"{group}.json").read_text("utf-8")

    assert written.splitlines() == rendered(GROUPS[group]).splitlines()


def test_golden_directory_holds_nothing_else() -> None:
    """A file that no group makes would be read by people and held by nothing."""
    assert {path.stem for path in DIRECTORY.glob("*.json")} == set(GROUPS)


def test_golden_events_are_ones_that_are_taken() -> None:
    """What a golden file shows can come from a raw topic."""
    assert {event_fault(event) for group in GROUPS.values() for event in group.values()} == {None}


def test_golden_files_show_every_kind_of_file_and_directory() -> None:
    """Every kind there is, of files and directories, seen and unseen; gaps and sessions have neither."""
    seen = {(raw["kind"], raw.get("is_dir", False), "mtime_ns" in raw) for raw in _raws()}
    alone = ("gap", "gap_closed", "session")

    assert {kind for kind, _, _ in seen} == set(get_args(Kind))
    assert seen >= {
        (kind, is_dir, known)
        for kind in get_args(Kind)
        if kind not in alone
        for is_dir in (False, True)
        for known in (False, True)
    }


@pytest.mark.parametrize(
    ("field", "values"),
    [("moved", Moved), ("source", Source), ("hash_status", HashStatus)],
)
def test_golden_files_show_every_value(field: str, values: Any) -> None:
    """What a field may be stands in a file; `kernel` is what is left out."""
    assert {raw[field] for raw in _raws() if field in raw} | {"kernel"} >= set(get_args(values))


def test_golden_files_show_every_change_and_every_gap() -> None:
    """Each attribute alone, with its old value and without; each reason of a gap, and its end."""
    alone = {
        (raw["changed"][0], "previous" in raw)
        for raw in _raws()
        if raw["kind"] == "attribute" and len(raw.get("changed", ())) == 1
    }
    gaps = {(raw["kind"], raw["gap"]["reason"]) for raw in _raws() if "gap" in raw}

    assert alone >= {
        (each, known)
        for each in get_args(Changed)
        for known in (False, True)
        if (each, known) != ("data", True)
    }
    assert gaps >= {(kind, reason) for kind in ("gap", "gap_closed") for reason in get_args(GapReason)}


def test_golden_files_show_every_notify_type() -> None:
    """All 23 types that a topic can carry, each of files, directories or streams as its name says."""
    shown = {each["type"] for case in cases() for each in case["notify"] or ()}

    assert len(NOTIFY_TYPES) == 23
    assert shown == NOTIFY_TYPES | {"gap"}


def test_golden_files_show_every_watch_kind_and_detail() -> None:
    """Every kind of change, every attribute, and every detail, none of them null or empty."""
    changes = [each for case in cases() for each in case["watch"]]
    details = [each["details"] for each in changes if "details" in each]

    assert {each["kind"] for each in changes} == {*get_args(watch.ChangeKind), "other"}
    assert {name for each in details for name in each} == set(watch.Details.__struct_fields__)
    assert {each.get("attribute") for each in details} == {None, *get_args(watch.Attribute)}


def test_golden_files_show_every_donutwork_field() -> None:
    """Every field of a record but those that dedupe sets: `duplicate` and `late`."""
    shown = {name for case in cases() for name in case["donutwork"] or ()} | set(_COMMON)

    assert shown == set(donutwork.Record.__struct_encode_fields__) - {"duplicate", "late"}


def _raws() -> list[dict[str, Any]]:
    return [case["raw"] for case in cases()]


def main() -> None:
    """Write every golden file as the code makes it now."""
    for group, events in GROUPS.items():
        (DIRECTORY / f"{group}.json").write_text(rendered(events), "utf-8")


if __name__ == "__main__":
    main()
