"""How often somebody may ask: token buckets by key, and for refusals by the address that they go to.

A key's own requests never suffer from what others try from the same address: it is only slower to be refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.errors import TooManyRequests, Unauthorized

_MOST_BUCKETS = 10_000
"""Remembered at one time, some 200 bytes each; the one used longest ago is forgotten, which fills it."""


class Buckets:
    """Token buckets by name: each holds up to `burst`, and gets `per_s` a second."""

    def __init__(self, per_s: float, burst: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock_s = clock_s
        self._levels: dict[str, tuple[float, float]] = {}
        """What was in a bucket, and when; the one used last stands last."""

    def take(self, name: str, number: int = 1) -> float:
        """Take so many, or nothing if not one is there; return the seconds until one is, 0 if it was taken.

        Taking more than there are leaves a debt.
        """
        now_s = self._clock_s()
        level = self._level(name, now_s)
        if level < 1:
            return (1 - level) / self._per_s
        self._levels.pop(name, None)
        self._levels[name] = level - number, now_s
        if len(self._levels) > _MOST_BUCKETS:
            del self._levels[next(iter(self._levels))]
        return 0.0

    def wait_s(self, name: str) -> float:
        """Return the seconds until one can be taken, 0 for now; take none."""
        return max(0.0, 1 - self._level(name, self._clock_s())) / self._per_s

    def _level(self, name: str, now_s: float) -> float:
        level, then_s = self._levels.get(name, (self._burst, now_s))
        return min(self._burst, level + (now_s - then_s) * self._per_s)


class Limits:
    """The limits of one process."""

    def __init__(
        self,
        *,
        requests_per_s: float,
        requests_burst: int,
        refusals_per_s: float,
        refusals_burst: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = Buckets(requests_per_s, requests_burst, clock_s)
        self._refusals = Buckets(refusals_per_s, refusals_burst, clock_s)

    def spend(self, key_id: str, requests: int = 1) -> None:
        """Count requests of a key; TooManyRequests if it has none left."""
        _unless(self._requests.take(key_id, requests), "too many requests of this key", "rate_limited")

    def check(self, name: str) -> None:
        """Raise TooManyRequests where too much has been refused under a name; nothing need be looked up."""
        _unless(self._refusals.wait_s(name), "too many refusals", "too_many_refusals")

    def refused(self, name: str) -> None:
        """Count a refusal; TooManyRequests in its place if there were too many."""
        _unless(self._refusals.take(name), "too many refusals", "too_many_refusals")

    @contextmanager
    def guessing(self, name: str) -> Iterator[None]:
        """Count an Unauthorized of the block, which is not entered after too many."""
        self.check(name)
        try:
            yield
        except Unauthorized:
            self.refused(name)
            raise


def _unless(wait_s: float, message: str, code: str) -> None:
    if wait_s > 0:
        raise TooManyRequests(message, code=code, retry_after_s=math.ceil(wait_s)) from None
