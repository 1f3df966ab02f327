"""Tells files apart where the file system knows no birth times: an inode may be that of a file long gone.

The journal counts how many files it has seen with such an inode; minus that count stands for the birth time.
Only what took the place of another with the same name and inode, while nobody watched, stays unnoticed.
"""

from __future__ import annotations

from agent.baseline import Baseline
from agent.files import State


class Lives:
    """The files of one journal that have no birth time."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline

    def now(self, state: State) -> State:
        """Return the state of a file that was just seen, told apart from those that had its inode before."""
        if state.birth_ns > 0:
            return state
        return state._replace(birth_ns=-self._baseline.life(state.device, state.inode))

    def begin(self, state: State) -> State:
        """Take a file for a new one, unless it is one more name of a file that was there before."""
        if state.birth_ns <= 0 and (state.is_dir or state.links == 1):
            self._baseline.begin_life(state.device, state.inode)
        return self.now(state)
