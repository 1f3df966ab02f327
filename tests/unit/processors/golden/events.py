"""The raw events that the golden files are about: name of a group → name of a case → event.

`known`: the agent knew the file before and says what differs; `unknown`: it did not; `unseen`: it was gone
before anybody could look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from agent.event import Actor, Changed, Event, Former, Gap, GapReason, HashStatus, Http, Stream
from tests.unit.processors.raw import TIME_NS, event

Cases = dict[str, Event]
SECOND_NS = 1_000_000_000
ROOT, SOURCES, FILE_ID, DIRECTORY_ID = "101", "102", "1001", "1002"
EMPTY, TEXT, OTHER = "0" * 63 + "e", "0" * 63 + "1", "0" * 63 + "2"
"""Stand for the sha256 of three contents."""

FILE: dict[str, Any] = {
    "size": 1200,
    "filetype": "text/x-python",
    "mtime_ns": TIME_NS - 10,
    "atime_ns": TIME_NS - 30,
    "birth_ns": TIME_NS - 3600 * SECOND_NS,
    "mode": 0o644,
    "uid": 1000,
    "gid": 100,
    "file_id": FILE_ID,
    "spine": ["2", ROOT, SOURCES, FILE_ID],
}
DIRECTORY: dict[str, Any] = FILE | {
    "is_dir": True,
    "size": 0,
    "filetype": "inode/directory",
    "mode": 0o755,
    "file_id": DIRECTORY_ID,
    "spine": ["2", ROOT, SOURCES, DIRECTORY_ID],
}
HASHED = {"sha256": TEXT, "hash_status": "ok"}
CONTENT: dict[str, Any] = {
    "changed": ["data", "size", "mtime"],
    "previous": Former(size=900, mtime_ns=TIME_NS - 7200 * SECOND_NS),
    "previous_sha256": OTHER,
}
KINDS = (("file", FILE, "src/a.py"), ("directory", DIRECTORY, "src/lib"))
_UNSEEN = {"file": {}, "directory": {"is_dir": True}}


def entries() -> Iterator[tuple[str, Event]]:
    """Yield what comes, goes and is there from the beginning."""
    for what, state, path in KINDS:
        hashed = HASHED if what == "file" else {}
        yield f"create {what}", event("create", path, **state)
        yield f"create {what} unseen", event("create", path, **_UNSEEN[what])
        yield f"create {what} found by a rescan", event("create", path, source="rescan", **state | hashed)
        yield f"create {what} found at a start", event("create", path, source="startup", **state | hashed)
        gone = {name: state[name] for name in ("file_id", "spine")} | _UNSEEN[what]
        yield f"delete {what} known", event("delete", path, **gone, previous_sha256=hashed.get("sha256"))
        yield f"delete {what} unknown", event("delete", path, **_UNSEEN[what])
        yield f"delete {what} with its last size", event("delete", path, **state)
        yield f"delete {what} found by a rescan", event("delete", path, source="rescan", **gone)
        yield f"baseline {what}", event("baseline", path, source="startup", **state | hashed)
        yield f"baseline {what} unseen", event("baseline", path, source="startup", **_UNSEEN[what])
    link = FILE | {"size": 7, "filetype": "inode/symlink", "hash_status": "not_regular"}
    yield "create symbolic link", event("create", "src/link", **link)
    yield "create by whom", event("create", "src/a.py", **FILE, actor=Actor(4512, 1000, "/usr/bin/vim"))
    yield "create without birth time", event("create", "src/a.py", **FILE | {"birth_ns": None})
    yield "delete root", event("delete", "", is_dir=True, file_id=ROOT, spine=["2", ROOT])


def content() -> Iterator[tuple[str, Event]]:
    """Yield what becomes of content: while a file is open, when it is closed, and what a scan finds."""
    for kind in ("modify", "closeWrite"):
        for what, state, path in KINDS:
            unknown = state | {"changed": ["data", "size", "mtime"]}
            changed = state | CONTENT
            if what == "file":
                unknown, changed = unknown | HASHED, changed | HASHED
            else:
                changed = changed | {"previous_sha256": None}
            yield f"{kind} {what} known", event(kind, path, **changed)
            yield f"{kind} {what} unknown", event(kind, path, **unknown)
            yield f"{kind} {what} unseen", event(kind, path, **_UNSEEN[what], hash_status="vanished")
            yield f"{kind} {what} written", event(kind, path, **changed, written=True)
            yield f"{kind} {what} found by a rescan", event(kind, path, source="rescan", **changed)
            yield f"{kind} {what} found at a start", event(kind, path, source="startup", **changed)
        for status in get_args(HashStatus):
            told = FILE | CONTENT | {"hash_status": status, "sha256": TEXT if status == "ok" else None}
            yield f"{kind} hash {status}", event(kind, "src/a.py", **told, written=kind == "closeWrite")
    same = FILE | HASHED | {"previous_sha256": TEXT}
    yield "closeWrite nothing written", event("closeWrite", "src/a.py", **same)
    yield "closeWrite nothing written, unseen", event("closeWrite", "src/a.py")
    yield (
        "closeWrite written with the same bytes",
        event(
            "closeWrite",
            "src/a.py",
            **same,
            written=True,
            changed=["mtime"],
            previous=Former(mtime_ns=TIME_NS - 60 * SECOND_NS),
        ),
    )
    yield (
        "closeWrite of the same size",
        event("closeWrite", "src/a.py", **FILE | HASHED, changed=["data", "mtime"], previous_sha256=OTHER),
    )
    yield (
        "closeWrite cut to nothing",
        event(
            "closeWrite",
            "src/a.py",
            **FILE | {"size": 0, "sha256": EMPTY, "hash_status": "ok"},
            changed=["data", "size", "mtime"],
            previous=Former(size=1200),
            written=True,
        ),
    )
    yield (
        "modify still open",
        event("modify", "src/a.py", **FILE, changed=["data", "size"], previous=Former(size=900)),
    )
    yield (
        "modify found by a rescan, with permissions and owner",
        event(
            "modify",
            "src/a.py",
            source="rescan",
            **FILE | HASHED,
            changed=["data", "mtime", "mode", "uid"],
            previous=Former(mode=0o600, uid=0),
        ),
    )


def renames() -> Iterator[tuple[str, Event]]:
    """Yield renames: inside, out of and into what is in view, over what is there."""
    for what, state, path in KINDS:
        hashed = state | (HASHED if what == "file" else {})
        unseen, gone = _UNSEEN[what], {name: state[name] for name in ("file_id", "spine")} | _UNSEEN[what]
        place = ["2", ROOT, state["file_id"]]
        within: dict[str, Any] = {"renamed_to": f"src/new-{what}", "moved": "within"}
        above: dict[str, Any] = {"renamed_to": f"new-{what}", "moved": "within"}
        yield f"rename {what} within its directory", event("rename", path, **hashed, **within)
        yield f"rename {what} within, unseen", event("rename", path, **unseen, **within)
        yield (
            f"rename {what} to another directory",
            event("rename", path, **hashed | {"spine": place, "former_spine": state["spine"]}, **above),
        )
        yield (
            f"rename {what} found by a rescan",
            event("rename", path, source="rescan", **hashed, **within),
        )
        yield f"rename {what} out", event("rename", path, **gone, moved="out")
        yield f"rename {what} out, unknown", event("rename", path, **unseen, moved="out")
        yield f"rename {what} in", event("rename", path, **hashed, moved="in")
        yield f"rename {what} in, unseen", event("rename", path, **unseen, moved="in")
        yield f"rename {what} over another: what was there", event("delete", path, **gone, extra="override")
        over = state | {"file_id": "1003", "spine": ["2", ROOT, SOURCES, "1003"]}
        yield (
            f"rename {what} over another",
            event("rename", f"old-{what}", **over, renamed_to=path, moved="within"),
        )
        yield f"rename {what} over another, from outside", event("rename", path, **over, moved="in")
    yield "rename root out", event("rename", "", is_dir=True, file_id=ROOT, spine=["2", ROOT], moved="out")


_FORMER: dict[Changed, Former] = {
    "size": Former(size=900),
    "mtime": Former(mtime_ns=1),
    "atime": Former(atime_ns=1),
    "btime": Former(birth_ns=1),
    "mode": Former(mode=0o600),
    "uid": Former(uid=0),
    "gid": Former(gid=0),
    "acl": Former(acl=""),
    "flags": Former(flags=[]),
    "streams": Former(streams=[]),
}
_NOW: dict[Changed, dict[str, Any]] = {
    "acl": {"acl": "user:1000:r--"},
    "flags": {"flags": ["immutable"]},
    "streams": {"streams": [Stream("origin", 3, TEXT)]},
}


def attributes() -> Iterator[tuple[str, Event]]:
    """Yield changes of attributes: one by one, several groups at once, and of what is not known."""
    for what, state, path in KINDS:
        for each in get_args(Changed):
            told = state | _NOW.get(each, {})
            yield (
                f"attribute {what} {each} known",
                event("attribute", path, **told, changed=[each], previous=_FORMER.get(each)),
            )
            yield f"attribute {what} {each} unknown", event("attribute", path, **told, changed=[each])
        yield (
            f"attribute {what} every group",
            event(
                "attribute",
                path,
                **state | _NOW["acl"] | _NOW["flags"],
                changed=["mtime", "atime", "mode", "uid", "gid", "acl", "flags"],
            ),
        )
        yield f"attribute {what} nothing that is known", event("attribute", path, **state)
        yield f"attribute {what} unseen", event("attribute", path, **_UNSEEN[what])
    yield (
        "attribute root",
        event(
            "attribute",
            "",
            **DIRECTORY | {"file_id": ROOT, "spine": ["2", ROOT]},
            changed=["mode"],
            previous=Former(mode=0o700),
        ),
    )


def streams() -> Iterator[tuple[str, Event]]:
    """Yield changes of named streams."""
    one, same, longer = Stream("one", 3, TEXT), Stream("one", 3, OTHER), Stream("one", 5, OTHER)
    changes: dict[str, tuple[list[Stream], list[Stream]]] = {
        "added": ([], [one]),
        "removed": ([one], []),
        "data written": ([one], [same]),
        "data written, another size": ([one], [longer]),
        "moved": ([one], [Stream("two", 3, TEXT)]),
        "removed and added": ([one], [Stream("two", 3, OTHER)]),
        "removed and added, not hashed": ([Stream("one", 3)], [Stream("two", 3)]),
        "one of several": ([one, Stream("rest", 1, OTHER)], [longer, Stream("rest", 1, OTHER)]),
    }
    for what, state, path in KINDS:
        for name, (before, after) in changes.items():
            yield (
                f"stream of {what} {name}",
                event(
                    "attribute",
                    path,
                    **state,
                    streams=after or None,
                    changed=["streams"],
                    previous=Former(streams=before),
                ),
            )


def reads() -> Iterator[tuple[str, Event]]:
    """Yield what is reported only where it was asked for, and what has no name."""
    for kind in ("access", "open", "closeNoWrite", "unknown"):
        for what, state, path in KINDS:
            yield f"{kind} {what} known", event(kind, path, **state)
            yield f"{kind} {what} unseen", event(kind, path, **_UNSEEN[what])
    yield "unknown, as the platform has it", event("unknown", "src/a.py", extra="Q_SPECIAL")


def gaps() -> Iterator[tuple[str, Event]]:
    """Yield losses for every reason, and their ends."""
    since, until = TIME_NS - 60 * SECOND_NS, TIME_NS
    place: dict[str, Any] = {"is_dir": True, "file_id": ROOT, "spine": ["2", ROOT]}
    below: dict[str, Any] = {"is_dir": True, "file_id": SOURCES, "spine": ["2", ROOT, SOURCES]}
    for reason in get_args(GapReason):
        gap = Gap(f"gap_{reason}", reason, since_ns=since, until_ns=until)
        yield f"gap {reason}", event("gap", "", **place, gap=gap)
        yield f"gap_closed {reason}", event("gap_closed", "", **place, gap=gap)
    alone = Gap("gap_alone", "watch_limit", recursive=False, until_ns=until)
    yield "gap of one directory, since nobody knows when", event("gap", "src", **below, gap=alone)
    yield "gap_closed of one directory", event("gap_closed", "src", **below, gap=alone)
    file = Gap("gap_file", "unreadable", recursive=False)
    yield "gap of a file, without moments", event("gap", "src/a.py", **FILE | {"size": None}, gap=file)
    yield (
        "gap that normalize found",
        event("gap", "", source="rescan", gap=Gap("gap_found", "sequence", until_ns=until)),
    )


def http() -> Iterator[tuple[str, Event]]:
    """Yield what clients report with a PUT."""

    def put(kind: str, name: str, path: str = "src/a.py", **fields: Any) -> Event:
        carried = Http("evt_client-1", "digest", name, key_id="key_1", fields=fields.pop("fields", None))
        return event(kind, path, source="http", http=carried, **fields)

    actor = Actor(pid=4512, uid=1000)
    known: dict[str, Any] = {"size": 4096, "filetype": "text/x-php", "sha256": TEXT, "actor": actor}
    yield "put created", put("create", "created", **known)
    yield "put modified", put("closeWrite", "modified", **known, written=True)
    yield "put deleted", put("delete", "deleted", **known)
    yield "put renamed", put("rename", "renamed", **known, renamed_to="src/b.py")
    yield "put renamed, without the new name", put("rename", "renamed", **known)
    yield "put of an event of its own", put("unknown", "Compiled", size=12, fields={"tool": {"name": "cc"}})
    yield "put with nothing but what it must have", put("create", "created", size=0)
    yield "session", put("session", "session", path="")


def names() -> Iterator[tuple[str, Event]]:
    """Yield names that are hard to write down."""
    for what, name in {
        "quotes and backslash": 'a "b" \\c',
        "line feed and control": "a\nb\x01",
        "not ASCII": "źdźbło 😀",
        "spaces at the ends": " a ",
        "dots": "..a/...",
        "separators of JavaScript": "a\u2028b",
    }.items():
        yield f"name with {what}", event("create", name, **FILE | {"spine": None})
    yield "name that is not UTF-8", event("create", "a\ufffd", path_b64="Yf8=")
    yield (
        "rename of names that are not UTF-8",
        event(
            "rename",
            "a\ufffd",
            path_b64="Yf8=",
            renamed_to="b\ufffd",
            renamed_to_b64="Yv4=",
            moved="within",
        ),
    )
    yield "moments before 1970", event("create", "old", time_ns=-1, mtime_ns=-1, birth_ns=-1)


GROUPS = {
    group.__name__: dict(group())
    for group in (entries, content, renames, attributes, streams, reads, gaps, http, names)
}
