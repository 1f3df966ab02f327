"""The watch vocabulary on two file descriptors, for this machine's own files: requests in, changes out.

Everything is decided and written on the watching thread, so answers and changes stand in their true order.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.event import Event
from agent.lookout import Lookout
from agent.scope_session import Order
from agent.scopes import Scope
from processors import watch_messages as messages
from processors.watch import ChangeKind, gap_description, records
from processors.watch_input import Values
from processors.watch_messages import Answers, Dialect, Message, Refused, Request, Writer
from processors.watch_table import Area, Table, Watching

_Outcome = Generator[object, None, bytes | Refused]


class _Seen(NamedTuple):
    """What the lookout was asked for on behalf of a watch."""

    scope: Scope
    kinds: frozenset[ChangeKind]


class LocalWatch:
    """One client; `write` takes what it is sent, whole lines."""

    def __init__(self, dialect: Dialect, write: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._dialect = dialect
        self._write = write
        self._writer = Writer(dialect)
        self._table = Table(self._writer)
        self._values = Values()
        self._seen: dict[Watching, _Seen] = {}
        self._lookout = Lookout(self._tell, ended)

    def start(self) -> None:
        """Begin; a client of `distant`'s dialect is greeted."""
        if self._dialect is Dialect.DISTANT:
            self._lines((messages.AUTH_INITIALIZATION,))
        self._lookout.start()

    def read(self, read: Callable[[], bytes]) -> None:
        """Serve until `read` gives nothing more; called on a thread of its own."""
        while data := read():
            self._take(self._values.feed(data))
        self._take(self._values.finish())
        self._lookout.order(self._end())

    def stop(self, grace_s: float) -> None:
        """End once what has happened is told, or after the grace; raises the defect that caused the end."""
        self._lookout.stop()
        self._lookout.join(grace_s)

    def _take(self, values: Iterable[object]) -> None:
        for value in values:
            self._lookout.order(self._serve(messages.parse(value)))

    def _end(self) -> Order:
        yield None
        self._lookout.stop()

    def _serve(self, message: Message) -> Order:
        if self._dialect is Dialect.DISTANT and _is_response(message):
            self._lines(messages.AUTH_FINISHED)
            return
        answers = Answers(message)
        fresh: list[Watching] = []
        for request in answers.requests():
            outcome = yield from self._outcome(request, message, fresh)
            answers.put(outcome)
        self._lines((self._writer.answer(message, answers.payloads),))
        for watching in fresh:
            watching.live = True
        for gap in self._lookout.gaps() if fresh else ():
            self._lines(self._losses(gap, fresh))

    def _outcome(self, request: Request, message: Message, fresh: list[Watching]) -> _Outcome:
        if isinstance(request, messages.Version):
            return messages.version(f"fswire {version('fswire')}")
        if not isinstance(request, messages.Watch | messages.Unwatch):
            return Refused("invalid_input", "this needs no authentication")
        try:
            if isinstance(request, messages.Unwatch):
                return (yield from self._unwatch(request))
            fresh.append((yield from self._watch(request, message)))
        except OSError as error:
            return messages.of_os_error(error, request.path)
        except ValueError as error:  # a NUL in a path
            return Refused("invalid_input", str(error))
        return messages.OK

    def _watch(self, request: messages.Watch, message: Message) -> Generator[object, None, Watching]:
        path = _canonical(request.path)
        watching = Watching(
            path.decode(errors="replace"),
            request.recursive,
            request.kinds,
            messages.origin_of(message),
            _absolute(request.path),
        )
        seen = _Seen(Scope(path[1:], request.recursive), request.asked)
        yield from self._lookout.show(*seen)
        self._table.add(watching)
        self._seen[watching] = seen
        return watching

    def _unwatch(self, request: messages.Unwatch) -> _Outcome:
        self._lookout.tell_open_files()
        if not request.path:
            return Refused("other", '"" is not being watched')
        path = os.path.realpath(request.path)
        gone = self._table.remove(path, _absolute(request.path))
        for watching in gone:
            yield from self._lookout.hide(*self._seen.pop(watching))
        return messages.OK if gone else Refused("other", f'"{path}" is not being watched')

    def _tell(self, event: Event) -> None:
        if event.kind == "gap":
            self._lines(self._losses(event, self._table))
            return
        for record in records("" if event.path else "/", event):
            self._lines(self._table.changes(record))

    def _losses(self, event: Event, of: Iterable[Watching]) -> Iterable[bytes]:
        """Yield what a gap is to those of some watches that it concerns."""
        area = Area("/" + event.path, event.gap is None or event.gap.recursive)
        concerned = set(of)
        for watching in self._table.lost(area):
            if watching not in concerned:
                continue
            path = max(watching.path, area.path, key=len)
            description = gap_description("", msgspec.structs.replace(event, path=path[1:]))
            yield self._writer.wrapped(messages.error("other", description), watching.origin)

    def _lines(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._write(line + b"\n")


def _is_response(message: Message) -> bool:
    """Tell whether a message is the client's part of the greeting."""
    return not message.batch and isinstance(message.members[0], messages.AuthResponse)


def _absolute(given: str) -> str:
    return os.path.normpath(Path(given).absolute())


def _canonical(given: str) -> bytes:
    """Return the path that a watch is on, without links on the way; OSError where it cannot be watched."""
    if not given:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    path = os.path.realpath(os.fsencode(given), strict=True)
    directory = path if stat.S_ISDIR(os.lstat(path).st_mode) else path.rpartition(b"/")[0] or b"/"
    if not os.access(directory, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return path
