"""The local store of known files, on a real disk."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processors.file_store import FileStore, StoreBusy

DAY_S = 86_400.0
KILLED = """
import os, signal, sys
from pathlib import Path
from processors.file_store import FileStore

store = FileStore(Path(sys.argv[1]), 86_400.0)
store.open()
for offset in range(int(sys.argv[2])):
    store.write([(b"p\\0%d" % offset, os.urandom(100_000))], offset + 1)
os.kill(os.getpid(), signal.SIGKILL)
"""
"""Writes more than a buffer holds, and is killed."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., FileStore]]:
    stores: list[FileStore] = []

    def open_store(max_age_s: float = DAY_S) -> FileStore:
        stores.append(FileStore(tmp_path / "files" / "raw-0", max_age_s))
        stores[-1].open()
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def test_store_keeps_entries_and_how_far_it_read(opened: Callable[..., FileStore]) -> None:
    """What was written is there when the store is opened again, with the topic's next offset."""
    store = opened()
    store.write([(b"p\0a", b"1"), (b"p\0b", b"2")], 7)
    store.write([(b"p\0a", None)], None)
    store.close()

    again = opened()

    assert again.get([b"p\0a", b"p\0b"]) == [None, b"2"]
    assert again.checkpoint is not None
    assert again.checkpoint.offset == 7


def test_store_lists_what_lies_below_in_order_and_in_pages(opened: Callable[..., FileStore]) -> None:
    """A directory never includes its neighbour of a longer name."""
    store = opened()
    store.write([(b"p\0" + name, b"x") for name in (b"d", b"d/b", b"d/a", b"d-e", b"d/c", b"e")], None)

    first = store.below(b"p\0d/", b"", 2)

    assert [key for key, _ in first] == [b"p\0d/a", b"p\0d/b"]
    assert [key for key, _ in store.below(b"p\0d/", first[-1][0], 2)] == [b"p\0d/c"]


def test_store_that_is_too_old_begins_anew(opened: Callable[..., FileStore]) -> None:
    """Deletions of so long ago may be gone from the topic: what it has cannot be trusted."""
    store = opened()
    store.write([(b"p\0a", b"1")], 7)
    store.close()

    again = opened(max_age_s=0.0)

    assert again.get([b"p\0a"]) == [None]
    assert again.checkpoint is None


def test_damaged_store_begins_anew(opened: Callable[..., FileStore], tmp_path: Path) -> None:
    """It is read again from the topic."""
    store = opened()
    store.write([(b"p\0a", b"1")], 7)
    store.close()
    (tmp_path / "files" / "raw-0" / "CURRENT").write_bytes(b"nonsense")

    again = opened()

    assert again.checkpoint is None


def test_store_is_one_process_at_a_time(opened: Callable[..., FileStore]) -> None:
    """Whoever comes second is told so, and can try again."""
    opened()

    with pytest.raises(StoreBusy, match="raw-0"):
        opened()


def test_killed_store_has_what_its_checkpoint_says(opened: Callable[..., FileStore], tmp_path: Path) -> None:
    """Writes that were lost take their checkpoint with them: they are read again from the topic."""
    writes = 300
    arguments = [str(tmp_path / "files" / "raw-0"), str(writes)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)

    store = opened()

    assert killed.returncode == -signal.SIGKILL
    assert store.checkpoint is not None
    found = store.get([b"p\0%d" % offset for offset in range(writes)])
    assert [entry is not None for entry in found] == [
        offset < store.checkpoint.offset for offset in range(writes)
    ]
