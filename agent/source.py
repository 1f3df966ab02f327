"""Where the kernel's records come from: what a session asks of inotify, and of fanotify in its place."""

from __future__ import annotations

from typing import Protocol

from agent.records import Chunk


class Source(Protocol):
    """A queue of records that a thread fills while it is entered; positions count its bytes."""

    def __enter__(self) -> object:
        """Begin to read."""

    def __exit__(self, *_: object) -> None:
        """Read no longer."""

    @property
    def read_bytes(self) -> int:
        """Return the position up to which records have been read from the kernel: those have happened."""

    def add(self, path: bytes) -> int:
        """Watch a directory and return its watch; OSError where that cannot be."""

    def remove(self, wd: int) -> None:
        """Stop watching."""

    def refresh(self, path: bytes) -> int:
        """Have a directory tell what is asked for now, and return its watch."""

    def ask_for(self, extra_mask: int) -> bool:
        """Tell other kinds from now on; True: watches that are there have to be refreshed for it."""

    def take(self) -> Chunk | None:
        """Return the oldest chunk that was not taken yet."""

    def drain(self) -> None:
        """Read here and now all that the kernel has."""

    def position(self) -> int:
        """Return the position of the next record to happen."""

    def empty(self) -> bool:
        """Tell whether neither the kernel nor this object holds an untaken record."""
