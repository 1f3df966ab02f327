"""Each vocabulary alone tells the final tree of any history, as far as it speaks of it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.event import Event
from processors.state import State
from tests.unit.processors.history import NOT_UTF8, ROOT_ID, History, Tree, covers, parent, raw_bytes
from tests.unit.processors.raw import Stored, batch, make_chunk, record, state, values

V = TypeVar("V")
Records = list[Any]

_names = st.sampled_from(["a", "b", 'c "\n\\', NOT_UTF8])
_verbs = st.sampled_from(
    [
        *("mkdir", "mkdir", "write", "write", "write", "edit", "edit", "link", "touch", "same", "reopen"),
        *("rename", "rename", "rename", "rename", "leave", "enter", "enter", "unlink", "rmtree", "gap"),
    ]
)
_step = st.tuples(_verbs, st.integers(0, 30), st.integers(0, 30), _names, st.integers(0, 3))
_steps = st.integers(0, 50).flatmap(lambda count: st.lists(_step, min_size=count, max_size=count))
_cuts = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=8)
Steps = list[tuple[str, int, int, str, int]]
Cuts = list[tuple[int, bool]]


class Streams(NamedTuple):
    """What the three topics hold after a history, decoded, and the known files by key."""

    donutwork: Records
    watch: Records
    notify: Records
    files: dict[bytes, Any]


def lived(before: Steps, during: Steps) -> tuple[Tree, History]:
    """Return the tree as it was found, and the history since, at its end."""
    history = History()
    for step in before:
        history.do(*step)
    history.begin()
    start = {path: replace(node) for path, node in history.tree.items()}
    for step in during:
        history.do(*step)
    history.close_all()
    return start, history


def published(events: list[Event], cuts: Cuts) -> Streams:
    """Return what the normalizer makes of a history, in batches as cut, some of them delivered twice."""
    on, stored = state(), Stored()
    streams = Streams([], [], [], {})
    first, offset = 0, 0
    while first < len(events):
        size, twice = cuts[offset % len(cuts)]
        sent = batch(*events[first : first + size], first_seq=first + 1)
        for _ in range(1 + twice):
            _commit(on, stored, record(offset, sent), streams)
        first, offset = first + size, offset + 1
    streams.files.update({key: json.loads(entry[48:]) for key, entry in stored.items()})
    return streams


def _commit(on: State, stored: Stored, raw: Any, streams: Streams) -> None:
    chunk = make_chunk(on, raw, stored=stored)
    assert not chunk.outputs.dead_letters
    stored.write([(key, entry) for key, entry, _, _ in chunk.draft.tree.changes()], None)
    chunk.draft.apply()
    for topic in ("donutwork", "watch", "notify"):
        getattr(streams, topic).extend(values(getattr(chunk.outputs, topic)))


def drop(tree: dict[str, V], path: str) -> None:
    """Take a path away, with all below it."""
    assert path in tree, f"nothing is known of {path!r}"
    for each in [each for each in tree if covers(path, each)]:
        del tree[each]


def move(tree: dict[str, V], path: str, to: str) -> None:
    """Give a path another name, with all below it; what was there must have been told to go."""
    assert path in tree, f"nothing is known of {path!r}"
    assert to not in tree, f"something is at {to!r}"
    for each in [each for each in tree if covers(path, each)]:
        tree[to + each[len(path) :]] = tree.pop(each)


def arrive(tree: dict[str, V], path: str, value: V) -> None:
    """Add a path; it must be new, and its directory known."""
    assert path not in tree, f"something is at {path!r}"
    assert not parent(path) or parent(path) in tree, f"no directory for {path!r}"
    tree[path] = value


def from_donutwork(known: Tree, records: Records) -> dict[bytes, tuple[bool, str | None]]:
    """Replay Donutwork: which paths there are, as bytes, which are directories, what they hold."""
    tree = {path: (node.is_dir, node.sha256) for path, node in known.items()}
    for each in records:
        path, name = each["filename"], each["event"]
        assert _bytes_of(each, "filename") == raw_bytes(path)
        if name == "created":
            arrive(tree, path, (each.get("isDir", False), each.get("sha256")))
        elif name == "deleted":
            drop(tree, path)
        elif name == "renamed":
            assert _bytes_of(each, "renamedTo") == raw_bytes(each["renamedTo"])
            move(tree, path, each["renamedTo"])
        elif name in ("written", "modified"):
            tree[path] = (tree[path][0], each.get("sha256"))
        elif name not in ("gap", "gap_closed"):
            assert path in tree
    return {raw_bytes(path): value for path, value in tree.items()}


def _bytes_of(item: dict[str, Any], field: str) -> bytes:
    encoded = item.get(f"{field}B64")
    return base64.b64decode(encoded) if encoded else item[field].encode()


def from_watch(known: Tree, changes: Records) -> dict[str, tuple[int, int]]:
    """Replay watch: which paths there are, which arrival each is, how often it was written to since."""
    tree = {path: (node.arrival, node.writes) for path, node in known.items()}
    arrivals = max((arrival for arrival, _ in tree.values()), default=0)
    for each in changes:
        if each["type"] == "error":
            continue
        path, kind, renamed = _relative(each["path"]), each["kind"], each.get("details", {}).get("renamed")
        if renamed is not None:
            move(tree, path, _relative(renamed))
        elif kind == "delete" or (kind == "rename" and path in tree):
            drop(tree, path)
        elif kind in ("create", "rename"):
            arrivals += 1
            arrive(tree, path, (arrivals, 0))
        elif kind == "modify":
            tree[path] = (tree[path][0], tree[path][1] + 1)
        else:
            assert path in tree
    return tree


Noted = dict[str, tuple[bool, str, int]]
"""By path: whether it is a directory, which file it is, how often it was written to."""


def from_notify(known: Tree, lists: Records) -> Noted:
    """Replay notify, a list of notifications for each event."""
    tree: Noted = {path: (node.is_dir, node.file_id, node.writes) for path, node in known.items()}
    for notifications in lists:
        kind = notifications[0]["type"]
        if kind.startswith(("child_file_moved", "child_dir_moved")):
            _moved(tree, notifications)
        elif kind != "gap":
            for each in notifications:
                _noted(tree, each)
    return tree


def _moved(tree: Noted, ends: Records) -> None:
    """Apply a rename: both ends are adjacent; one alone is a way out of view, or into it."""
    identity = ends[0]["type"].startswith("child_dir"), ends[0]["spine"][-1]
    paths = {each["type"].rpartition("_")[2]: _relative(each["path"]) for each in ends}
    assert [each["type"].rpartition("_")[2] for each in ends] == [
        end for end in ("from", "to") if end in paths
    ]
    if "from" in paths:
        assert tree[paths["from"]][:2] == identity
    if len(paths) == 2:
        move(tree, paths["from"], paths["to"])
    elif "from" in paths:
        drop(tree, paths["from"])
    else:
        arrive(tree, paths["to"], (*identity, 0))
    if "to" in paths:
        assert ends[-1]["spine"] == _spine(tree, paths["to"])


def _noted(tree: Noted, notification: dict[str, Any]) -> None:
    path, kind, spine = _relative(notification["path"]), notification["type"], notification["spine"]
    if kind in ("child_file_added", "child_dir_added"):
        arrive(tree, path, (kind == "child_dir_added", spine[-1], 0))
    assert spine == _spine(tree, path)
    if kind in ("child_file_removed", "child_dir_removed"):
        assert tree[path][:2] == (kind == "child_dir_removed", spine[-1])
        drop(tree, path)
    elif kind == "child_data_written":
        tree[path] = (*tree[path][:2], tree[path][2] + 1)


def _spine(tree: Noted, path: str) -> list[str]:
    above = sorted(each for each in tree if covers(each, path))
    return ["2", ROOT_ID, *(tree[each][1] for each in above)]


def _relative(path: str) -> str:
    root, _, below = path.removeprefix("/").partition("/")
    assert root == "p"
    return below


def from_files(files: dict[bytes, Any]) -> dict[bytes, tuple[bool, str | None]]:
    """Return what `fswire.files` says: paths by their bytes, directories, content."""
    return {
        key.partition(b"\0")[2]: (each.get("isDir", False), each.get("sha256")) for key, each in files.items()
    }


_OVER: Steps = [
    ("mkdir", 0, 0, "a", 0),
    ("write", 0, 1, "b", 3),
    ("write", 0, 0, "b", 3),
    ("rename", 2, 1, "b", 1),
    ("leave", 0, 0, "", 0),
    ("mkdir", 0, 0, "a", 0),
    ("enter", 0, 0, "a", 0),
    ("rename", 0, 0, NOT_UTF8, 0),
]
"""Over a file; a directory out, in over another, and renamed."""


@settings(max_examples=200)
@given(_steps, _steps, _cuts)
@example([], _OVER, [(1, True), (3, False)])
@example(_OVER, _OVER, [(2, True)])
def test_each_vocabulary_replays_to_the_same_tree(before: Steps, during: Steps, cuts: Cuts) -> None:
    """From what a first scan found and one stream alone comes the tree that there is at the end."""
    start, history = lived(before, during)
    tree = history.tree

    streams = published(history.events, cuts)

    content = {raw_bytes(path): (node.is_dir, node.sha256) for path, node in tree.items()}
    assert from_donutwork(start, streams.donutwork) == content
    assert from_watch(start, streams.watch) == {
        path: (node.arrival, node.writes) for path, node in tree.items()
    }
    assert from_notify(start, streams.notify) == {
        path: (node.is_dir, node.file_id, node.writes) for path, node in tree.items()
    }
    assert from_files(streams.files) == content


def test_histories_hold_what_renames_there_are() -> None:
    """The history that is always tried has each sort of rename, and targets told to go before."""
    _, history = lived([], _OVER)

    renames = [(each.moved, each.is_dir) for each in history.events if each.kind == "rename"]
    assert renames == [("within", False), ("out", True), ("in", True), ("within", True)]
    assert [each.path for each in history.events if each.extra == "override"] == ["a/b", "a"]
