"""How fast hashing may read: a token bucket over bytes; it knows no clock but the one that it is given.

One is shared by all roots of an agent, on any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_S = 0.25
"""A bucket that was left alone lets this much of its rate through at once."""


class HashRate:
    """Tokens of one byte, `bytes_per_second` of them; 0: without limit."""

    def __init__(self, bytes_per_second: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = bytes_per_second * _BURST_S
        self._filled = clock()

    def set(self, bytes_per_second: int) -> None:
        """Go on at another rate."""
        with self._lock:
            self._rate, before = bytes_per_second, self._rate
            if not before:
                self._tokens, self._filled = bytes_per_second * _BURST_S, self._clock()

    def spare(self, count: int) -> bool:
        """Tell whether `count` bytes may be read without waiting for any of them."""
        if not self._rate:
            return True
        with self._lock:
            self._fill()
            return self._tokens >= count

    def take(self, count: int) -> float:
        """Account for `count` bytes that were read; returns the seconds to wait before the next."""
        if not self._rate:
            return 0.0
        with self._lock:
            self._fill()
            self._tokens -= count
            return max(0.0, -self._tokens / self._rate)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._rate * _BURST_S, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
