"""Histories of real source trees: raw batches of people who check out, edit, build and tidy up for weeks.

Names, sizes and contents are those of the files below a directory; what is done to them, and when, is drawn
from the habits of editors and compilers. Each record has what the agent tells in that case.
"""

from __future__ import annotations

import hashlib
import mimetypes
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.event import VERSION, Batch, Event, Former, Kind, encode

_MS = 1_000_000
_S = 1_000 * _MS
_BEGIN_NS = 1_795_000_000 * _S
_SESSION_ACTIONS = 200
_DESK_FILES = 25
_WINDOW_NS = 200 * _MS
_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True)
class _File:
    size: int
    sha256: str
    file_id: str
    mtime_ns: int
    birth_ns: int
    mode: int = 0o644


class Author:
    """One person in one tree; `events` never ends."""

    def __init__(self, tree: Path, seed: str, limit: int) -> None:
        self._tree = tree
        self._random = random.Random(seed)
        self._limit = limit
        self._now_ns = _BEGIN_NS + self._random.randrange(3600 * _S)
        self._files: dict[str, _File] = {}
        self._desk: list[str] = []

    def events(self) -> Iterator[Event]:
        """Yield the checkout, then session after session with a night between them."""
        yield from self._checkout()
        actions = (self._save, self._replace, self._build, self._add, self._delete, self._rename, self._chmod)
        while True:
            self._desk = self._random.sample(sorted(self._files), min(_DESK_FILES, len(self._files)))
            for _ in range(_SESSION_ACTIONS):
                self._pass(round(self._random.expovariate(1 / 20) * _S))
                (action,) = self._random.choices(actions, (40, 25, 18, 8, 4, 3, 2))
                yield from action()
            self._pass(self._random.randrange(8 * 3600 * _S, 16 * 3600 * _S))

    def _checkout(self) -> Iterator[Event]:
        for path in sorted(self._tree.rglob("*"))[: self._limit]:
            name = path.relative_to(self._tree).as_posix()
            if path.is_dir():
                yield self._told("create", name, self._made(0, "", 0o755), is_dir=True)
            elif path.is_file() and path.stat().st_size <= _LARGEST_BYTES:
                content = path.read_bytes()
                yield from self._new(name, len(content), hashlib.sha256(content).hexdigest())

    def _new(self, path: str, size: int, sha256: str) -> Iterator[Event]:
        empty = self._made(0, "")
        yield self._told("create", path, empty)
        self._pass(self._random.randrange(50_000, 2 * _MS))
        self._files[path] = file = replace(empty, size=size, sha256=sha256, mtime_ns=self._changed_ns())
        yield self._told(
            "closeWrite", path, file, written=True, changed=["data", "size", "mtime"],
            previous=Former(size=0, mtime_ns=empty.mtime_ns),
        )  # fmt: skip

    def _save(self) -> Iterator[Event]:
        path = self._chosen()
        before = self._files[path]
        self._files[path] = after = self._edited(before)
        former = Former(size=before.size, mtime_ns=before.mtime_ns)
        yield self._told(
            "closeWrite", path, after, previous_sha256=before.sha256, written=True,
            changed=["data", "size", "mtime"], previous=former,
        )  # fmt: skip

    def _replace(self) -> Iterator[Event]:
        path = self._chosen()
        directory, _, name = path.rpartition("/")
        yield from self._moved_over(
            path, f"{directory}/.{name}.swp".lstrip("/"), self._edited(self._files[path])
        )

    def _build(self) -> Iterator[Event]:
        path = self._chosen()
        directory, _, name = path.rpartition("/")
        target = f"{directory}/__pycache__/{name.rpartition('.')[0] or name}.cpython-311.pyc".lstrip("/")
        built = self._edited(
            self._files.get(target, replace(self._files[path], size=self._files[path].size * 2))
        )
        yield from self._moved_over(target, f"{target}.{self._random.getrandbits(47)}", built)

    def _moved_over(self, path: str, temporary: str, content: _File) -> Iterator[Event]:
        """Write a temporary file and rename it over another: of the first, only its name is told."""
        yield Event("create", temporary, self._now_ns)
        yield Event("closeWrite", temporary, self._now_ns, hash_status="vanished", written=True)
        if path in self._files:
            yield self._gone(path, extra="override")
        self._files[path] = file = replace(
            self._made(content.size, content.sha256), mtime_ns=self._changed_ns()
        )
        yield self._told("rename", temporary, file, renamed_to=path, moved="within")

    def _add(self) -> Iterator[Event]:
        directory = self._chosen().rpartition("/")[0]
        name = f"{self._random.choice(_WORDS)}_{self._random.choice(_WORDS)}.py"
        yield from self._new(f"{directory}/{name}".lstrip("/"), self._random.randrange(9_000), self._digest())

    def _delete(self) -> Iterator[Event]:
        path = self._chosen()
        self._desk.remove(path)
        yield self._gone(path)

    def _rename(self) -> Iterator[Event]:
        path = self._chosen()
        file = self._files.pop(path)
        to = f"{path}.{self._random.choice(_WORDS)}"
        self._desk[self._desk.index(path)] = to
        self._files[to] = file
        yield self._told("rename", path, file, renamed_to=to, moved="within")

    def _chmod(self) -> Iterator[Event]:
        path = self._chosen()
        before = self._files[path]
        self._files[path] = after = replace(before, mode=before.mode ^ 0o111)
        yield self._told("attribute", path, after, changed=["mode"], previous=Former(mode=before.mode))

    def _gone(self, path: str, extra: str | None = None) -> Event:
        file = self._files.pop(path)
        return Event(
            "delete", path, self._now_ns, filetype=_filetype(path), file_id=file.file_id,
            previous_sha256=file.sha256, extra=extra,
        )  # fmt: skip

    def _told(self, kind: Kind, path: str, file: _File, *, is_dir: bool = False, **more: Any) -> Event:
        return Event(
            kind, path, self._now_ns, is_dir=is_dir,
            size=file.size, mtime_ns=file.mtime_ns, birth_ns=file.birth_ns,
            filetype="inode/directory" if is_dir else _filetype(str(more.get("renamed_to", path))),
            mode=file.mode, uid=1000, gid=1000, file_id=file.file_id, sha256=file.sha256 or None,
            hash_status="ok" if file.sha256 else None, **more,
        )  # fmt: skip

    def _made(self, size: int, sha256: str, mode: int = 0o644) -> _File:
        self._pass(self._random.randrange(50_000, 2 * _MS))
        made_ns = self._changed_ns()
        return _File(size, sha256, str(self._random.getrandbits(64)), made_ns, made_ns, mode)

    def _edited(self, file: _File) -> _File:
        size = max(0, file.size + self._random.randrange(-200, 400))
        return replace(file, size=size, sha256=self._digest(), mtime_ns=self._changed_ns())

    def _chosen(self) -> str:
        """One of the files of the day, the first of them most often."""
        self._desk = [path for path in self._desk if path in self._files] or [next(iter(self._files))]
        return self._desk[min(int(self._random.expovariate(0.25)), len(self._desk) - 1)]

    def _digest(self) -> str:
        return self._random.randbytes(32).hex()

    def _changed_ns(self) -> int:
        return self._now_ns - self._random.randrange(3 * _MS)

    def _pass(self, nanoseconds: int) -> None:
        self._now_ns += nanoseconds


_WORDS = ("parse", "view", "draft", "handler", "old", "index", "model", "base", "test", "new", "loader")


def _filetype(path: str) -> str | None:
    return mimetypes.guess_type(path)[0]


def batches(tree: Path, project: str, events: int, files: int = 4_000) -> Iterator[tuple[int, bytes]]:
    """Yield when the broker took each encoded batch, in milliseconds, and the batch: `events` in all."""
    author, delays = Author(tree, project, files).events(), random.Random(project)
    waiting: list[Event] = [next(author)]
    sent = 0
    while sent < events:
        following = next(author)
        if following.time_ns - waiting[0].time_ns > _WINDOW_NS or sent + len(waiting) >= events:
            sent_ns = waiting[-1].time_ns + _WINDOW_NS + delays.randrange(40 * _MS)
            yield sent_ns // _MS + delays.randrange(2, 30), _encoded(project, waiting, sent + 1, sent_ns)
            sent += len(waiting)
            waiting = []
        waiting.append(following)


def _encoded(project: str, events: list[Event], first_seq: int, sent_ns: int) -> bytes:
    agent = "agt_" + hashlib.sha256(project.encode()).hexdigest()[:32]
    return encode(
        Batch(
            v=VERSION,
            project=project,
            host=f"host-{project}",
            sent_ns=sent_ns,
            agent=agent,
            epoch=agent[4:20],
            first_seq=first_seq,
            events=events,
        )
    )
