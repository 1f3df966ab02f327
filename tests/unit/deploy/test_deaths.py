"""When a part that died is started again, and when it is given up."""

from deploy.deaths import Deaths


def test_deaths_far_apart_restart_after_the_shortest_delay() -> None:
    """A part that dies once in a while is started again at once, however often."""
    deaths = Deaths()

    delays = [deaths.another(now_s) for now_s in (0.0, 61.0, 122.0, 183.0)]

    assert delays == [0.5, 0.5, 0.5, 0.5]


def test_deaths_second_within_the_minute_waits_longer() -> None:
    """The delay grows with the deaths of the last minute."""
    deaths = Deaths()

    delays = [deaths.another(0.0), deaths.another(10.0)]

    assert delays == [0.5, 2.0]


def test_deaths_third_within_the_minute_gives_up() -> None:
    """Three deaths within sixty seconds are enough."""
    deaths = Deaths()

    delays = [deaths.another(now_s) for now_s in (0.0, 30.0, 59.9)]

    assert delays[2] is None


def test_deaths_third_after_the_minute_is_only_the_second() -> None:
    """A death that is a minute old counts no more."""
    deaths = Deaths()

    delays = [deaths.another(now_s) for now_s in (0.0, 30.0, 60.0)]

    assert delays[2] == 2.0
