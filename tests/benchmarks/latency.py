"""From a change of a file to its row, and to `fswire tail`, at a steady rate of changes."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path

from tests.benchmarks.steady import Seen, await_all, change, warm
from tests.benchmarks.table import percentile, show
from tests.integration import running

CHANGES_PER_S = 500
SECONDS = 20
PROJECT = "latency"


def run(directory: Path) -> None:
    """Start the whole system, save files at a steady rate, watch both ends, and print the table."""
    tree = directory / "tree"
    tree.mkdir()
    with running.up(directory / "data", f"{PROJECT}={tree}", "--port", "0") as up:
        up.ready()
        stack = running.Stack(up, up.endpoint(), tree, PROJECT)
        changed, rows, tailed = _measure(stack, tree)
        up.stop()
    show(
        f"latency at {CHANGES_PER_S} changes/s, milliseconds",
        ("from a file's change to", "changes", "p50", "p99"),
        [_row("its row, queryable", changed, rows), _row("`fswire tail`", changed, tailed)],
    )


def _measure(stack: running.Stack, tree: Path) -> tuple[Seen, Seen, Seen]:
    """Return when each file was changed, when its row could be read, and when tail printed it."""
    rows: Seen = {}
    tailed: Seen = {}
    command = [running.FSWIRE, "tail", PROJECT, "--data-dir", str(stack.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        ended = threading.Event()
        readers = (
            threading.Thread(target=_read_tail, args=(tail, tailed)),
            threading.Thread(target=_poll_rows, args=(stack, rows, ended)),
        )
        for reader in readers:
            reader.start()
        warm(tree, lambda: "warm" in rows and "warm" in tailed)
        changed = change(tree, CHANGES_PER_S, SECONDS)
        await_all(lambda: changed.keys() <= rows.keys() & tailed.keys())
        ended.set()
        tail.terminate()
        for reader in readers:
            reader.join()
    return changed, rows, tailed


def _read_tail(tail: subprocess.Popen[bytes], seen: Seen) -> None:
    assert tail.stdout is not None
    for line in tail.stdout:
        now, record = time.perf_counter(), json.loads(line)
        if record["event"] == "modified":
            seen.setdefault(record["filename"], now)


def _poll_rows(stack: running.Stack, seen: Seen, ended: threading.Event) -> None:
    """Ask for new rows again and again: what an answer holds could be read by then."""
    after = -1
    while not ended.wait(0.02):
        answer = stack.query(
            f"SELECT path, kafka_offset FROM events WHERE project_id = '{PROJECT}' AND event = 'modified' "
            f"AND kafka_offset > {after} ORDER BY kafka_offset FORMAT JSONCompactEachRow"
        )
        now = time.perf_counter()
        for line in answer.splitlines():
            path, offset = json.loads(line)
            after = int(offset)
            seen.setdefault(path, now)


def _row(end: str, changed: Seen, seen: Seen) -> tuple[object, ...]:
    took = [(seen[name] - at) * 1000 for name, at in changed.items()]
    return end, len(took), percentile(took, 0.5), percentile(took, 0.99)
