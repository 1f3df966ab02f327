"""Numbers in, the geometry of charts out; `templates/charts.html` draws it. Pure.

Shapes live in a box of 1000 by 100 that is stretched to the page; texts lie beside it by percent, so that
they keep their size on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WIDTH = 1000.0
HEIGHT = 100.0
_BAR_SHARE = 0.82
_DAY_S = 86_400
_YEAR_S = 31_557_600
"""With its share of a leap day: some hours beside New Year, which no chart of years shows."""
_X_STEPS_S = (
    *(60, 300, 600, 1800, 3600, 7200, 10_800, 21_600, 43_200),
    *(days * _DAY_S for days in (1, 2, 7, 14, 30, 91)),
    *(years * _YEAR_S for years in (1, 2, 5, 10, 20)),
)
_X_TICKS = 7
_THRESHOLDS = (1.0, 2.0, 2.5, 5.0, 10.0)
SERIES = ("created", "modified", "written", "deleted", "renamed", "attributes", "gap", "other")
"""What is told apart by colour, from the bottom up; every other event is `other`."""


@dataclass(frozen=True)
class Window:
    """A stretch of time cut into buckets of one width; Unix seconds."""

    from_s: int
    to_s: int
    width_s: int

    @property
    def starts_s(self) -> range:
        """Where each bucket begins."""
        return range(self.from_s, self.to_s, self.width_s)

    def x(self, moment_s: float) -> float:
        """Return where a moment lies in the box."""
        return (moment_s - self.from_s) / (self.to_s - self.from_s) * WIDTH


@dataclass(frozen=True)
class Bar:
    """One bucket: its parts from the bottom up, as series, y, height and number."""

    x: float
    width: float
    from_s: int
    to_s: int
    parts: list[tuple[str, float, float, int]]
    total: int


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in percent, and what it says."""

    percent: float
    text: str


@dataclass(frozen=True)
class Bars:
    """A chart of stacked bars over time."""

    window: Window
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    totals: dict[str, int]
    """By series, those that occur."""

    @property
    def total(self) -> int:
        """Return the sum of all."""
        return sum(self.totals.values())


@dataclass(frozen=True)
class Lines:
    """A chart of lines over time: name and points of each; a gap in time interrupts a line."""

    window: Window
    lines: list[tuple[str, list[str]]]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def window(from_s: float, to_s: float, buckets: int, steps_s: Sequence[int]) -> Window:
    """Return a window of at most so many buckets, of a width among `steps_s`, that covers the time given."""
    span_s = max(to_s - from_s, 1)
    width_s = next((step for step in steps_s if span_s / step <= buckets), steps_s[-1])
    while span_s / width_s > buckets:
        width_s *= 2
    first_s = int(from_s // width_s * width_s)
    last_s = int(-(-to_s // width_s) * width_s)
    return Window(first_s, max(last_s, first_s + width_s), width_s)


def stacked(over: Window, counts: Mapping[int, Mapping[str, int]]) -> Bars:
    """Return the bars of counts by start of bucket and event."""
    heaps = {start_s: _by_series(counts.get(start_s, {})) for start_s in over.starts_s}
    top = nice_top(max((sum(heap.values()) for heap in heaps.values()), default=0))
    bars = [_bar(over, start_s, heap, top) for start_s, heap in heaps.items() if heap]
    totals = {name: sum(heap.get(name, 0) for heap in heaps.values()) for name in SERIES}
    return Bars(over, bars, x_ticks(over), y_ticks(top), {name: n for name, n in totals.items() if n})


def lines(over: Window, series: Mapping[str, Mapping[int, float]]) -> Lines:
    """Return the lines of values by start of bucket, for each series by name."""
    top = nice_top(max((value for points in series.values() for value in points.values()), default=0.0))
    drawn = [(name, _runs(over, points, top)) for name, points in series.items()]
    return Lines(over, drawn, x_ticks(over), y_ticks(top))


def spark(values: Sequence[int]) -> list[tuple[float, float, float, float]]:
    """Return small bars side by side, as x, y, width and height in the box."""
    top, step = max(values, default=0), WIDTH / max(len(values), 1)
    return [
        (round(index * step, 2), round(HEIGHT - height, 2), round(step * _BAR_SHARE, 2), round(height, 2))
        for index, value in enumerate(values)
        if value and (height := max(value / top * HEIGHT, 4.0))
    ]


def nice_top(largest: float) -> float:
    """Return the least of 1, 2, 2.5, 5 times a power of ten that is not below a value."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(largest))) - 1) if largest >= 1 else 10.0 ** -_zeros(largest)
    return next(step * power for step in _THRESHOLDS if step * power >= largest * 0.999_999)


def x_ticks(over: Window) -> list[Tick]:
    """Return marks at round times, UTC."""
    span_s = over.to_s - over.from_s
    step_s = next((step for step in _X_STEPS_S if span_s / step <= _X_TICKS), _X_STEPS_S[-1])
    first_s = -(-over.from_s // step_s) * step_s
    return [Tick(over.x(at) / WIDTH * 100, _clock(at, step_s)) for at in range(first_s, over.to_s, step_s)]


def y_ticks(top: float) -> list[Tick]:
    """Return marks at the half and the whole of a scale, in percent from above."""
    return [Tick(0.0, _short(top)), Tick(50.0, _short(top / 2))]


def _by_series(counts: Mapping[str, int]) -> dict[str, int]:
    heap: dict[str, int] = {}
    for event, number in counts.items():
        name = event if event in SERIES else "gap" if event == "gap_closed" else "other"
        heap[name] = heap.get(name, 0) + number
    return {name: heap[name] for name in SERIES if heap.get(name)}


def _bar(over: Window, start_s: int, heap: Mapping[str, int], top: float) -> Bar:
    parts, y = [], HEIGHT
    for name, number in heap.items():
        height = number / top * HEIGHT
        y -= height
        parts.append((name, round(y, 3), round(height, 3), number))
    width = over.width_s / (over.to_s - over.from_s) * WIDTH
    return Bar(
        round(over.x(start_s), 3),
        round(width * _BAR_SHARE, 3),
        start_s,
        start_s + over.width_s,
        parts,
        sum(heap.values()),
    )


def _runs(over: Window, points: Mapping[int, float], top: float) -> list[str]:
    """Return the points of each stretch without a hole, as SVG's `points`; a lone one becomes a dash."""
    runs: list[list[tuple[float, float]]] = [[]]
    for start_s in over.starts_s:
        if start_s in points:
            runs[-1].append((over.x(start_s + over.width_s / 2), HEIGHT - points[start_s] / top * HEIGHT))
        elif runs[-1]:
            runs.append([])
    dash = over.x(over.from_s + over.width_s / 2)
    widened = [
        run if len(run) > 1 else [(x + d, y) for x, y in run for d in (-dash / 2, dash / 2)] for run in runs
    ]
    return [" ".join(f"{x:.2f},{y:.2f}" for x, y in run) for run in widened if run]


def _clock(at_s: int, step_s: int) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    if step_s >= _YEAR_S:
        return f"{at + timedelta(days=1):%Y}"
    if step_s >= 28 * 86400:
        return f"{at:%b %Y}"
    if step_s >= 86400 or (at.hour == at.minute == 0):
        return f"{at.day} {at:%b}"
    return f"{at:%H:%M}"


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _zeros(value: float) -> int:
    return len(f"{value:.12f}".partition(".")[2]) - len(f"{value:.12f}".partition(".")[2].lstrip("0")) + 1
