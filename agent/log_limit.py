"""Keeps one kind of log line from drowning the others: so many lines of an event a minute, then a count.

In flow the events of log lines; out flows whether a line may go on. Whatever was left out is said at the
end of the minute, in one line, and counted: a log is never cut short in silence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from prometheus_client import Counter

LINES_PER_MINUTE = 30
_MINUTE_S = 60.0
_MOST_NAMES = 1000
"""Events are constant texts; a library that puts values into them has one allowance beyond this."""
_OTHERS = "(others)"
_EXEMPT = frozenset({"throughput", "log_lines_left_out"})
"""At most one a second by themselves, and read by `deploy.progress`."""

LOG_LINES_DROPPED = Counter("fswire_log_lines_dropped", "Log lines left out: too many alike", ["event"])

After = Callable[[float, Callable[[], None]], None]
"""Runs a call after some seconds, on any thread."""


def _on_a_timer(delay_s: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(delay_s, call)
    timer.daemon = True
    timer.start()


@dataclass
class _Minute:
    ends: float
    lines: int = 0
    left_out: int = 0


class LogLimit:
    """Counts the lines of each event; a processor of structlog and a filter of `logging` in one."""

    def __init__(
        self,
        lines: int = LINES_PER_MINUTE,
        *,
        clock: Callable[[], float] = time.monotonic,
        after: After = _on_a_timer,
    ) -> None:
        self._lines = lines
        self._clock = clock
        self._after = after
        self._minutes: dict[str, _Minute] = {}
        self._lock = threading.Lock()

    def __call__(
        self, _logger: object, _method: str, entry: structlog.types.EventDict
    ) -> structlog.types.EventDict:
        """Pass a line on, or raise DropEvent; called by structlog."""
        if not self.admits(str(entry.get("event"))):
            raise structlog.DropEvent
        return entry

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line of standard logging may go on, by its text without the values in it."""
        return self.admits(str(record.msg))

    def admits(self, event: str) -> bool:
        """Count a line and tell whether it may go on; may be called on any thread."""
        if event in _EXEMPT:
            return True
        with self._lock:
            name, minute = self._minute(event)
            minute.lines += 1
            if minute.lines <= self._lines:
                return True
            minute.left_out += 1
            first, left_s = minute.left_out == 1, minute.ends - self._clock()
        LOG_LINES_DROPPED.labels(name).inc()
        if first:
            self._after(max(0.0, left_s), lambda: self._tell(name, minute))
        return False

    def _minute(self, event: str) -> tuple[str, _Minute]:
        now = self._clock()
        found = self._minutes.get(event)
        if found is None and len(self._minutes) >= _MOST_NAMES:
            self._minutes = {name: each for name, each in self._minutes.items() if each.ends > now}
            event = event if len(self._minutes) < _MOST_NAMES else _OTHERS
            found = self._minutes.get(event)
        if found is None or found.ends <= now:
            found = self._minutes[event] = _Minute(now + _MINUTE_S)
        return event, found

    def _tell(self, name: str, minute: _Minute) -> None:
        with self._lock:
            left_out, minute.left_out = minute.left_out, 0
        if left_out:
            structlog.get_logger().warning("log_lines_left_out", of=name, lines=left_out)
