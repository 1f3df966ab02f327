"""Log lines that are too many alike are left out, counted, and said to be."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from agent import log
from agent.log_limit import LogLimit


class Minutes:
    """A clock and its timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        self._calls.append((self.now + delay_s, call))

    def pass_one(self) -> None:
        """Let a minute pass."""
        self.now += 60
        for _, call in [each for each in self._calls if each[0] <= self.now]:
            call()
        self._calls = [each for each in self._calls if each[0] > self.now]


def _limit(minutes: Minutes, lines: int = 2) -> LogLimit:
    return LogLimit(lines, clock=minutes.clock, after=minutes.after)


def test_lines_of_one_event_are_limited_a_minute() -> None:
    """So many of each event go through; another event has an allowance of its own."""
    minutes = Minutes()
    limit = _limit(minutes)
    first = [limit.admits("a") for _ in range(4)]
    other = limit.admits("b")
    minutes.pass_one()

    assert first == [True, True, False, False]
    assert other
    assert limit.admits("a")


def test_lines_left_out_are_said_and_counted() -> None:
    """At the end of the minute one line tells how many there were, whether or not more come."""
    minutes = Minutes()
    limit = _limit(minutes)
    before = REGISTRY.get_sample_value("fswire_log_lines_dropped_total", {"event": "left"}) or 0
    for _ in range(5):
        limit.admits("left")
    with capture_logs() as lines:
        minutes.pass_one()
        minutes.pass_one()

    said = {"event": "log_lines_left_out", "of": "left", "lines": 3, "log_level": "warning"}
    assert lines == [said]
    assert REGISTRY.get_sample_value("fswire_log_lines_dropped_total", {"event": "left"}) == before + 3


def test_throughput_is_never_left_out() -> None:
    """`fswire up` counts by these lines; they are one a second by themselves."""
    limit = _limit(Minutes())

    assert all(limit.admits("throughput") for _ in range(100))


def test_endless_names_do_not_fill_memory() -> None:
    """Texts with values in them share one allowance beyond the first thousand."""
    limit = _limit(Minutes())
    admitted = sum(limit.admits(f"line {number}") for number in range(3000))

    assert admitted == 1000 + 2


def test_both_ways_of_logging_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of structlog and of `logging` are JSON, and are limited by their constant text."""
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    log.configure("test", lines_per_minute=3)
    try:
        for number in range(10):
            structlog.get_logger().info("ours", number=number)
            logging.getLogger("theirs").warning("theirs %d", number)
    finally:
        logging.basicConfig(force=True)

    said = [json.loads(line)["event"] for line in errors.getvalue().splitlines()]
    assert said == ["ours", "theirs 0", "ours", "theirs 1", "ours", "theirs 2"]
