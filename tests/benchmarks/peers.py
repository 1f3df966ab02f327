"""The agent's peers, as processes of their own that print what they see, a line each: kind, path, new path.

`python -m tests.benchmarks.peers watchdog|watchfiles DIR` runs one; `inotifywait` is a program of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.told import Said


def watchdog(root: str) -> None:
    """Print events of a recursive observer; opens and reads are not asked for."""
    from watchdog import events
    from watchdog.observers import Observer

    class Printer(events.FileSystemEventHandler):
        def on_any_event(self, event: events.FileSystemEvent) -> None:
            _print(event.event_type, os.fsdecode(event.src_path), os.fsdecode(event.dest_path))

    wanted = [
        events.FileCreatedEvent, events.DirCreatedEvent, events.FileModifiedEvent, events.FileClosedEvent,
        events.FileDeletedEvent, events.DirDeletedEvent, events.FileMovedEvent, events.DirMovedEvent,
    ]  # fmt: skip
    observer = Observer()
    observer.schedule(Printer(), root, recursive=True, event_filter=wanted)
    observer.start()
    _ready()
    threading.Event().wait()


def watchfiles(root: str) -> None:
    """Print each change of each set."""
    from watchfiles import watch

    changes = watch(root, watch_filter=None, debounce=50, step=10, rust_timeout=200, yield_on_timeout=True)
    next(changes)
    _ready()
    for several in changes:
        for change, path in several:
            _print(change.raw_str(), path, "")


INOTIFYWAIT = (
    "inotifywait",
    "-m",
    "-r",
    "-e",
    "create,delete,move,close_write,attrib",
    "--format",
    "%e%0%c%0%w%f%0",
)
READY = {"watchdog": "ready", "watchfiles": "ready", "inotifywait": "Watches established."}


def command(name: str, root: Path) -> list[str]:
    """Return what starts a peer."""
    if name == "inotifywait":
        return [*INOTIFYWAIT, str(root)]
    return [sys.executable, "-m", "tests.benchmarks.peers", name, str(root)]


def said(name: str, output: bytes, root: Path) -> list[Said]:
    """Return what a peer has printed."""
    top = f"{root}/"
    if name == "inotifywait":
        return list(_paired(output.decode().split("\0\n"), top))
    lines = (line.split("\0") for line in output.decode().splitlines())
    return [
        Said(_KINDS[kind], path.removeprefix(top), to.removeprefix(top) or None)
        for kind, path, to in lines
        if kind in _KINDS
    ]


_KINDS = {
    "created": "create",
    "added": "create",
    "closed": "change",
    "modified": "change",
    "deleted": "delete",
    "moved": "rename",
    "CREATE": "create",
    "DELETE": "delete",
    "CLOSE_WRITE": "change",
    "ATTRIB": "change",
}


def _paired(lines: list[str], top: str) -> Iterator[Said]:
    """Make one rename of what inotifywait tells as two lines with one cookie."""
    source: tuple[str, str] | None = None
    for line in lines:
        if line.count("\0") != 2:
            continue
        kinds, cookie, path = line.split("\0")
        path = path.removeprefix(top)
        kind = kinds.split(",")[0]
        if source and not (kind == "MOVED_TO" and source[0] == cookie):
            yield Said("delete", source[1])
        paired, source = source, None
        if kind == "MOVED_FROM":
            source = cookie, path
        elif kind == "MOVED_TO":
            yield Said("rename", paired[1], path) if paired and paired[0] == cookie else Said("create", path)
        else:
            yield Said(_KINDS[kind], path)


def _print(kind: str, path: str, to: str) -> None:
    sys.stdout.write(f"{kind}\0{path}\0{to}\n")
    sys.stdout.flush()


def _ready() -> None:
    sys.stderr.write("ready\n")
    sys.stderr.flush()


if __name__ == "__main__":
    {"watchdog": watchdog, "watchfiles": watchfiles}[sys.argv[1]](sys.argv[2])
