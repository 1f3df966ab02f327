"""What the displays know of parts, stages and the download."""

from __future__ import annotations

import io
import json

from deploy.display import PlainDisplay
from deploy.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def line(stage: str, events: int) -> str:
    return json.dumps({"event": "throughput", "stage": stage, "events": events})


def test_rate_is_the_difference_of_totals_over_time() -> None:
    """Events per second come from two lines of throughput."""
    clock = Clock()
    progress = Progress(clock)
    progress.heard("sink", line("sink", 100))
    clock.now_s += 2

    progress.heard("sink", line("sink", 700))

    assert progress.stages() == [("sink", 300.0, 700)]


def test_rate_of_a_silent_stage_is_nothing() -> None:
    """A stage that says nothing passes nothing; its total stays."""
    clock = Clock()
    progress = Progress(clock)
    progress.heard("sink", line("sink", 100))
    clock.now_s += 10

    assert progress.stages() == [("sink", 0.0, 100)]


def test_total_survives_a_restart_of_the_part() -> None:
    """A part that counts from nothing again adds to what it had counted."""
    clock = Clock()
    progress = Progress(clock)
    progress.heard("sink", line("sink", 100))
    clock.now_s += 1

    progress.heard("sink", line("sink", 10))

    assert progress.stages()[0][2] == 110


def test_agents_are_one_stage() -> None:
    """Several parts of one stage are added up."""
    progress = Progress(Clock())

    progress.heard("agent-a", line("agent", 3))
    progress.heard("agent-b", line("agent", 4))

    assert progress.stages()[0][2] == 7


def test_other_lines_are_no_throughput() -> None:
    """Text, other JSON and throughput without numbers are left alone."""
    progress = Progress(Clock())

    heard = [
        progress.heard("x", text) for text in ("hello", '{"event": "started"}', '{"a": "throughput"}', "[1]")
    ]

    assert heard == [False] * 4


def test_parts_tell_of_time_and_restarts() -> None:
    """A running part says how long its start took, and how often it was started again."""
    clock = Clock()
    progress = Progress(clock)
    for state in ("starting", "died", "starting"):
        progress.part("sink", state)
    clock.now_s += 1.5

    progress.part("sink", "running")

    assert progress.parts() == [("sink", "running", "ready after 1.5 s, restarts: 1")]


def test_download_tells_bytes_and_rate() -> None:
    """A download shows how much of it came, and how fast."""
    clock = Clock()
    progress = Progress(clock)
    progress.downloaded(1_000_000, 40_000_000)
    clock.now_s += 2

    progress.downloaded(9_000_000, 40_000_000)

    assert progress.download() == "10.0 of 40.0 MB, 5.0 MB/s"


def test_plain_display_prints_a_tenth_of_the_download_at_a_time() -> None:
    """Plain lines do not flood a log."""
    out = io.StringIO()
    display = PlainDisplay(out, Clock())

    for _ in range(1000):
        display.downloaded(1000, 1_000_000)

    assert len(out.getvalue().splitlines()) == 10


def test_plain_display_prints_rates_once_in_ten_seconds() -> None:
    """Plain lines say what moved, now and then."""
    out, clock = io.StringIO(), Clock()
    display = PlainDisplay(out, clock)

    for second in range(25):
        display.heard("sink", line("sink", 100 * second))
        clock.now_s += 1

    assert out.getvalue() == "events/s: sink 100\nevents/s: sink 100\n"
