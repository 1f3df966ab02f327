"""What was seen after a record had happened holds for that record; anything later is looked at anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.files import look
from agent.looks import Looks
from agent.records import CLOSE_WRITE, CREATE, DELETE, ISDIR, Record
from agent.watches import Directory

DIRECTORY = Directory(None, b"", 1)
PLACE = DIRECTORY, b"f"


class _View:
    """Counts looks at a real file."""

    def __init__(self, path: Path) -> None:
        self._path = bytes(path)
        self.looks = 0

    def look(self, place: object) -> Any:
        self.looks += 1
        return look(self._path)


def _looks(path: Path, *positions: int) -> tuple[_View, Looks]:
    view, happened = _View(path), iter(positions)
    return view, Looks(view, lambda: next(happened))  # type: ignore[arg-type]


def _record(position: int, mask: int = CLOSE_WRITE, name: bytes = b"f") -> Record:
    return Record(1, mask, 0, name, 0, position)


def test_look_holds_for_records_that_had_happened(tmp_path: Path) -> None:
    """Of three records that were read before the look, one look serves all; the file may be gone as well."""
    view, looks = _looks(tmp_path / "f", 300)
    for position in (0, 100, 200):
        looks.follow(_record(position))
        assert looks.look(PLACE) is None

    assert view.looks == 1


def test_look_is_repeated_for_a_later_record(tmp_path: Path) -> None:
    """A record that was read after the look may tell of a change after it."""
    view, looks = _looks(tmp_path / "f", 100, 200)
    looks.follow(_record(0))
    before = looks.look(PLACE)
    (tmp_path / "f").touch()
    looks.follow(_record(100))

    assert (before, looks.look(PLACE) is None, view.looks) == (None, False, 2)


def test_look_is_repeated_once_directories_have_moved(tmp_path: Path) -> None:
    """The path may have led elsewhere."""
    view, looks = _looks(tmp_path / "f", 300, 300, 300)
    looks.follow(_record(0, CREATE))
    looks.look(PLACE)
    looks.follow(_record(100, DELETE | ISDIR, b"d"))
    looks.look(PLACE)
    looks.forget()
    looks.look(PLACE)

    assert view.looks == 3
