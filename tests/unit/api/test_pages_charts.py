"""The geometry of charts: buckets that fit, heaps that add up, axes at round numbers and times."""

from __future__ import annotations

import pytest

from api.pages import charts

DAY_S = 86_400
MIDNIGHT_S = 1_795_046_400
YEAR_S = 31_557_600
STEPS_S = (60, 900, 3_600)


@pytest.mark.parametrize(
    ("span_s", "width_s"), [(60, 60), (3_600, 60), (DAY_S, 900), (4 * DAY_S, 3_600), (8 * DAY_S, 7_200)]
)
def test_window_takes_the_narrowest_buckets_that_fit(span_s: int, width_s: int) -> None:
    """Never more than asked for; what no step can do, a multiple of the last does."""
    over = charts.window(MIDNIGHT_S, MIDNIGHT_S + span_s, 100, STEPS_S)

    assert over.width_s == width_s
    assert len(over.starts_s) <= 100


def test_window_covers_what_was_asked_for_at_round_times() -> None:
    """It begins and ends with a bucket."""
    over = charts.window(MIDNIGHT_S + 61.5, MIDNIGHT_S + 119.5, 10, STEPS_S)

    assert (over.from_s, over.to_s) == (MIDNIGHT_S + 60, MIDNIGHT_S + 120)


def test_bars_are_heaps_that_reach_their_number() -> None:
    """Parts lie on one another without a hole; strange events are `other`; the totals hold all."""
    over = charts.Window(0, 120, 60)

    chart = charts.stacked(over, {0: {"created": 3, "modified": 5, "Touched": 2}, 60: {"gap_closed": 1}})

    bar = chart.bars[0]
    assert [part[0] for part in bar.parts] == ["created", "modified", "other"]
    assert [part[1] for part in bar.parts] == [70, 20, 0]
    assert bar.total == 10
    assert chart.totals == {"created": 3, "modified": 5, "gap": 1, "other": 2}
    assert chart.total == 11


@pytest.mark.parametrize(
    ("largest", "top"),
    [
        (0, 1),
        (1, 1),
        (3, 5),
        (10, 10),
        (11, 20),
        (249, 250),
        (0.003, 0.005),
        (0.25, 0.25),
        (0.9, 1),
        (0.04, 0.05),
    ],
)
def test_scale_ends_at_a_round_number(largest: float, top: float) -> None:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is not below."""
    assert charts.nice_top(largest) == pytest.approx(top)


def test_ticks_of_time_are_round_and_say_the_day_at_midnight() -> None:
    """Hours within a day, the day where a new one begins."""
    over = charts.Window(MIDNIGHT_S - 6 * 3_600, MIDNIGHT_S + 6 * 3_600, 900)

    assert [tick.text for tick in charts.x_ticks(over)] == [
        "18:00",
        "20:00",
        "22:00",
        "19 Nov",
        "02:00",
        "04:00",
    ]


@pytest.mark.parametrize(
    ("from_s", "to_s", "texts"),
    [
        (0, 57 * YEAR_S, ["1970", "1980", "1990", "2000", "2010", "2020"]),
        (0, 4_250_000_000, ["1970", "1990", "2010", "2030", "2050", "2070", "2090"]),
        (YEAR_S * 50, YEAR_S * 55, ["2020", "2021", "2022", "2023", "2024"]),
    ],
)
def test_ticks_of_decades_are_few_and_say_the_year(from_s: int, to_s: int, texts: list[str]) -> None:
    """One event of 1970 makes no heap of words below the chart."""
    over = charts.Window(from_s, to_s, 28 * 86_400)

    assert [tick.text for tick in charts.x_ticks(over)] == texts


def test_line_is_interrupted_where_nothing_is_known() -> None:
    """A hole is a hole, and a lone point is still seen."""
    over = charts.Window(0, 400, 100)

    chart = charts.lines(over, {"p50": {0: 1.0, 100: 2.0, 300: 1.0}})

    assert [len(points.split()) for points in chart.lines[0][1]] == [2, 2]


def test_spark_shows_the_smallest_number() -> None:
    """One event among thousands is still a bar; none is none."""
    bars = charts.spark([1, 0, 10_000])

    assert [height for _, _, _, height in bars] == [4, 100]
