"""Known files over chunks: renames of any size, and what a committed chunk leaves in the store."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.event import Event
from processors import files, moves, tree
from processors.files import At
from processors.tree import Move, Tree
from tests.unit.processors.raw import Stored, event, origin

ORIGIN = origin()
A, B = "a" * 64, "b" * 64


def key(path: str) -> bytes:
    return files.key("p", path)


def take(known: Tree, at: At, told: Event, *, late: bool = False) -> None:
    key = _of(told)
    known.take(ORIGIN, told, key, known.get(key), f"evt_{at.offset}_{at.event}", at, late=late)


def written(path: str, sha256: str | None = A, **fields: object) -> Event:
    return event("closeWrite", path, sha256=sha256, written=True, mtime_ns=1, **fields)


def renamed(path: str, to: str, *, is_dir: bool = False) -> Event:
    return event("rename", path, renamed_to=to, moved="within", is_dir=is_dir)


def duplicate(known: Tree, told: Event, *, late: bool = False) -> bool:
    return tree.is_duplicate(told, known.get(_of(told)), late=late)


def _of(told: Event) -> bytes:
    return files.keys("p", [told])[0]


def commit(known: Tree, stored: Stored) -> None:
    """Do what a partition does once a chunk is committed."""
    stored.write([(key, entry) for key, entry, _, _ in known.changes()], None)
    for first in range(len(known.moves)):
        for changes in moves.steps(known.moves[first:], stored):  # type: ignore[arg-type]
            stored.write(changes, None)


def content(stored: Stored) -> dict[str, str | None]:
    return {
        name.partition(b"\0")[2].decode(): files._decode(entry[48:]).sha256 for name, entry in stored.items()
    }


def test_same_content_is_a_duplicate_and_a_change_back_is_not() -> None:
    """A, A, B, A: the second brings nothing new, the last does."""
    known = Tree(Stored())
    found = []
    for nth, sha256 in enumerate((A, A, B, A)):
        found.append(duplicate(known, written("f", sha256)))
        take(known, At(0, nth), written("f", sha256))

    assert found == [False, True, False, False]


def test_content_that_nobody_hashed_is_no_duplicate_and_changes_none() -> None:
    """What counts is the content that was observed."""
    known = Tree(Stored())
    take(known, At(0, 0), written("f"))
    unhashed = written("f", None)
    take(known, At(0, 1), unhashed)

    assert not duplicate(known, unhashed)
    assert duplicate(known, written("f"))


def test_content_is_forgotten_by_a_delete_and_carried_by_a_rename() -> None:
    """A file that comes again after its end is new; one under another name is not."""
    known = Tree(Stored())
    take(known, At(0, 0), written("f"))
    take(known, At(0, 1), renamed("f", "g"))
    take(known, At(0, 2), written("h"))
    take(known, At(0, 3), event("delete", "h"))

    assert duplicate(known, written("g"))
    assert not duplicate(known, written("f"))
    assert not duplicate(known, written("h"))


def test_deletes_and_renames_are_never_duplicates() -> None:
    """Only created and modified can bring content that is there already."""
    known = Tree(Stored())
    take(known, At(0, 0), written("f"))
    arrived = event("rename", "f", moved="in", sha256=A)

    assert not duplicate(known, arrived)
    assert not duplicate(known, event("delete", "f", sha256=A))
    assert not duplicate(known, event("attribute", "f", sha256=A))


def test_late_event_changes_nothing_that_is_newer() -> None:
    """What a replay brings may be older than what is known."""
    known = Tree(Stored())
    take(known, At(0, 0), written("f", A, time_ns=2_000_000_000))
    old = written("f", B, time_ns=1_000_000_000)
    take(known, At(0, 1), old, late=True)

    assert duplicate(known, written("f", A))
    assert not duplicate(known, written("f", A, time_ns=1_000_000_000), late=True)


def test_report_of_less_than_a_state_leaves_the_rest() -> None:
    """Who reports over HTTP says nothing of owner and mode: they stay."""
    known = Tree(Stored())
    take(known, At(0, 0), written("f", mode=0o640, uid=5))
    take(known, At(0, 1), event("closeWrite", "f", sha256=B, size=9, written=True, source="http"))

    entry = known.get(key("f"))
    assert entry is not None
    file = files._decode(entry[48:])
    assert (file.mode, file.owner_uid, file.size, file.sha256) == (0o640, 5, 9, B)


def test_name_that_is_no_utf8_has_a_key_of_its_own() -> None:
    """Two names that look alike as text are two files."""
    one, other = base64.b64encode(b"\xff").decode(), base64.b64encode(b"\xfe").decode()
    known = Tree(Stored())
    take(known, At(0, 0), written("\ufffd", A, path_b64=one))

    assert duplicate(known, written("\ufffd", A, path_b64=one))
    assert not duplicate(known, written("\ufffd", A, path_b64=other))


def test_bytes_of_a_former_name_do_not_stay_with_the_new_one() -> None:
    """A file that was renamed and not seen since has the bytes of the name that it has now, or none."""
    known = Tree(Stored())
    former = base64.b64encode(b"\xff").decode()
    take(known, At(0, 0), written("\ufffd", path_b64=former))
    take(known, At(0, 1), event("rename", "\ufffd", path_b64=former, renamed_to="f", moved="within"))

    entry = known.get(key("f"))
    assert entry is not None
    file = files._decode(entry[48:])
    assert (file.path, file.path_b64, file.sha256) == ("f", None, A)


def test_large_directory_is_rekeyed_after_the_commit_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then its files are found under their new names, and under no old one."""
    monkeypatch.setattr(moves, "STEP_ENTRIES", 3)
    stored = Stored()
    first = Tree(stored)
    for nth in range(tree.AT_ONCE + 5):
        take(first, At(0, nth), written(f"old/{nth}"))
    commit(first, stored)
    second = Tree(stored)

    take(second, At(1, 0), renamed("old", "new", is_dir=True))

    assert len(second.moves) == 1
    assert duplicate(second, written("new/7"))
    assert second.get(key("old/7")) is None
    commit(second, stored)
    assert set(content(stored)) == {"new"} | {f"new/{nth}" for nth in range(tree.AT_ONCE + 5)}


def test_steps_of_a_move_can_be_repeated_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that ends between two steps leaves the rest to its successor, who begins anew."""
    monkeypatch.setattr(moves, "STEP_ENTRIES", 2)
    stored = Stored()
    first = Tree(stored)
    for nth in range(7):
        take(first, At(0, nth), written(f"old/{nth}"))
    stored.write(first.changed.items(), None)
    move = Move("p\0old/", "p\0new/", 1, 0)
    steps = moves.steps([move], stored)  # type: ignore[arg-type]
    stored.write(next(steps), None)
    newer = Tree(stored)
    take(newer, At(2, 0), written("old/after"))
    stored.write(newer.changed.items(), None)

    for changes in moves.steps([move], stored):  # type: ignore[arg-type]
        stored.write(changes, None)

    assert set(content(stored)) == {f"new/{nth}" for nth in range(7)} | {"old/after"}


NAMES = ("a", "b", "a/x", "a/y", "b/x", "a/d", "a/d/x", "b/d", "b/d/y", "c", "c/x")
DIRECTORIES = ("a", "b", "a/d", "b/d", "c")
operations = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from((A, B))),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just("")),
    st.tuples(st.just("out"), st.sampled_from(DIRECTORIES), st.just("")),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("mvdir"), st.sampled_from(DIRECTORIES), st.sampled_from(DIRECTORIES)),
)


def _model(paths: dict[str, str | None], operation: tuple[str, str, str]) -> Event | None:
    """Do it to a plain dictionary and return the event that tells of it; None where it makes no sense."""
    kind, path, other = operation
    inside = [each for each in paths if each.startswith(path + "/")]
    if kind == "write":
        paths[path] = other
        return written(path, other)
    if kind == "delete":
        paths.pop(path, None)
        return event("delete", path)
    if kind == "out":
        for each in (*inside, path):
            paths.pop(each, None)
        return event("rename", path, moved="out", is_dir=True)
    if path == other or other.startswith(path + "/") or path.startswith(other + "/"):
        return None
    if any(each == other or each.startswith(other + "/") for each in paths):
        return None
    is_dir = kind == "mvdir"
    if not is_dir and inside:
        return None
    for each in inside:
        paths[other + each.removeprefix(path)] = paths.pop(each)
    paths[other] = paths.pop(path, None)
    return renamed(path, other, is_dir=is_dir)


@settings(max_examples=200)
@given(
    chunks=st.lists(st.lists(operations, max_size=12), max_size=5), at_once=st.sampled_from((0, 1, 2, 100))
)
def test_files_are_what_the_events_say(chunks: list[list[tuple[str, str, str]]], at_once: int) -> None:
    """However changes fall into chunks and however large a directory is, every path has its content."""
    before, tree.AT_ONCE = tree.AT_ONCE, at_once
    try:
        stored, paths = Stored(), dict[str, str | None]()
        for offset, chunk in enumerate(chunks):
            known = Tree(stored)
            for nth, operation in enumerate(chunk):
                told = _model(paths, operation)
                if told is None:
                    continue
                take(known, At(offset, nth), told)
                for name in NAMES:
                    entry = known.get(key(name))
                    assert (entry is not None) == (name in paths)
                    assert entry is None or files._decode(entry[48:]).sha256 == paths[name]
            commit(known, stored)
            assert content(stored) == paths
    finally:
        tree.AT_ONCE = before
