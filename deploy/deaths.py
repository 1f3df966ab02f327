"""When a part that died is started again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass, field

LIMIT = 3
WINDOW_S = 60.0
"""So many deaths within so long, and the whole stack ends."""
_FIRST_DELAY_S = 0.5


@dataclass
class Deaths:
    """The deaths of one part, as moments of a monotonic clock."""

    _recent_s: list[float] = field(default_factory=list)

    def another(self, now_s: float) -> float | None:
        """Take note of a death; return how long to wait before the next start, or None to give up."""
        self._recent_s = [moment for moment in self._recent_s if now_s - moment < WINDOW_S] + [now_s]
        if len(self._recent_s) >= LIMIT:
            return None
        return _FIRST_DELAY_S * 4.0 ** (len(self._recent_s) - 1)
