"""Hashing reads no faster than it may."""

from __future__ import annotations

from agent.hash_rate import HashRate


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_without_limit() -> None:
    """0 bytes per second stands for as fast as it can."""
    rate = HashRate(0)

    assert rate.spare(2**40)
    assert rate.take(2**40) == 0


def test_rate_lets_a_quarter_of_a_second_through_at_once() -> None:
    """What was saved up is bounded, however long nothing was read."""
    clock = _Clock()
    rate = HashRate(1000, clock)
    clock.now += 1_000

    assert rate.spare(250)
    assert not rate.spare(251)


def test_rate_holds_over_time() -> None:
    """Whoever waits as long as he is told reads no more than the rate, and the burst once."""
    clock = _Clock()
    rate = HashRate(1000, clock)
    read = 0
    while clock.now < 110:
        clock.now += rate.take(300)
        read += 300

    assert 10_000 <= read <= 10 * 1000 + 250 + 300


def test_rate_that_is_changed() -> None:
    """Another rate holds from then on."""
    clock = _Clock()
    rate = HashRate(0, clock)
    rate.set(1000)

    assert rate.take(1250) == 1.0
