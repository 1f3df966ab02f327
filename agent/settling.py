"""Which files are being written to, so that a file that stays open is reported once per window; pure.

A file is named by any hashable; times are seconds of one monotonic clock, given by the caller.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

File = TypeVar("File", bound=Hashable)


@dataclass
class _Window:
    opened: float
    last_write: float
    unreported: bool = True
    written: bool = True


class Settling(Generic[File]):
    """Files with writes that no closeWrite has followed yet, the oldest window first."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._windows: dict[File, _Window] = {}

    def __contains__(self, file: File) -> bool:
        window = self._windows.get(file)
        return window is not None and window.written

    def resize(self, window_s: float) -> None:
        """Let windows be this long; those that are open end accordingly."""
        self._window_s = window_s

    def note(self, file: File, now: float) -> None:
        """Remember that data was written."""
        window = self._windows.get(file)
        if window is None:
            self._windows[file] = _Window(now, now)
        else:
            window.last_write = now
            window.unreported = window.written = True

    def made(self, file: File, now: float) -> None:
        """Remember a new file whose closing is still to come; one that was linked, not opened, has none."""
        self._windows.setdefault(file, _Window(now, now, unreported=False, written=False))

    def close(self, file: File) -> bool:
        """Forget the file and tell whether it was written to since it was last reported."""
        window = self._windows.pop(file, None)
        return window is not None and window.unreported

    def rename(self, file: File, to: File) -> None:
        """Go on under another name."""
        window = self._windows.pop(file, None)
        if window is not None:
            self._windows[to] = window

    def due(self, now: float) -> list[tuple[File, bool]]:
        """Return files whose window is over, and of each whether it has settled.

        One that was written to within its window is still open: it gets another window.
        """
        found = []
        while self._windows:
            file, window = next(iter(self._windows.items()))
            if now - window.opened < self._window_s:
                break
            del self._windows[file]
            settled = now - window.last_write >= self._window_s
            if not settled:
                self._windows[file] = _Window(now, window.last_write, unreported=False)
            found.append((file, settled))
        return found

    def all(self) -> list[File]:
        """Return, and forget, every file that has writes which were not reported."""
        found = [file for file, window in self._windows.items() if window.unreported]
        self._windows.clear()
        return found

    def deadline(self) -> float | None:
        """Return when the next window ends, None if no file is being written to."""
        for window in self._windows.values():
            return window.opened + self._window_s
        return None
