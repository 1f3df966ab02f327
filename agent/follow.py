"""Turns the kernel's records, in their order, into events.

A record says what happened then; a look at the file says what is there now. They belong together only if
the file seen is the one that the record is about: the same device, inode and birth time as was known, in a
directory that still is where it was. Otherwise the event goes without a state and the path is looked at
again later.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.baseline import Known
from agent.edits import Edits
from agent.event import Kind
from agent.files import State
from agent.looks import Looks
from agent.own import OwnAccess
from agent.pairing import Move, Pairing
from agent.records import (
    ACCESS,
    ATTRIB,
    CLOSE_NOWRITE,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    ISDIR,
    MODIFY,
    OPEN,
    Record,
)
from agent.report import Place, When, found
from agent.scan import Scanner
from agent.settling import Settling
from agent.unseen import Unseen
from agent.view import View
from agent.watches import Directory
from agent.who import Who, Writers

_PASSED_ON: dict[int, Kind] = {ACCESS: "access", OPEN: "open", CLOSE_NOWRITE: "closeNoWrite"}


def _nowhere(_source: Place) -> Place | None:
    """Say that what left has not been found anywhere."""
    return None


class Follower:
    """Applies records and moves to a view; `behind` tells whether more records are waiting.

    `contested`: see `agent.scan.Scanner`; `arrived`: where a scan has found what was moved away; `ahead`:
    where renames still to be told have taken what was made at a place.
    """

    def __init__(
        self,
        view: View,
        edits: Edits,
        scanner: Scanner,
        settling: Settling[Place],
        unseen: Unseen,
        own: OwnAccess,
        *,
        clock: Callable[[], float],
        contested: Callable[[Place], int],
        behind: Callable[[], bool],
        who: Who,
        arrived: Callable[[Place], Place | None] = _nowhere,
        ahead: Callable[[Place], Place | None] = _nowhere,
        moving: Callable[[], bool] = lambda: True,
        happened: Callable[[], int] = lambda: 0,
    ) -> None:
        self._view = view
        self._edits = edits
        self._scanner = scanner
        self._settling = settling
        self._unseen = unseen
        self._own = own
        self._clock = clock
        self._contested = contested
        self._behind = behind
        self._arrived = arrived
        self._ahead = ahead
        self._who = who
        self._writers = Writers()
        self._moving = moving
        self._looks = Looks(view, happened)

    def apply(self, record: Record) -> None:
        """Report what a record about a name in a watched directory says."""
        directory = self._view.watches.of(record.wd)
        if directory is None or self._is_excluded(directory, record):
            return
        place, mask = (directory, record.name), record.mask
        self._looks.follow(record)
        if mask & MODIFY:
            if place in self._view.hashes.waits:
                self._edits.give_up(place, "unstable")
            self._settling.note(place, self._clock())
            self._writers.note(place, self._who.of(record))
        if mask & CLOSE_WRITE:
            self._close_write(place, record)
        elif mask & CREATE:
            self._create(place, record)
        elif mask & DELETE:
            self._delete(place, record)
        elif mask & ATTRIB:
            self._attributes(place, record)
        elif mask != MODIFY:
            self._pass_on(place, record)

    def attributes_of_root(self, record: Record) -> None:
        """Report a change of attributes of the root, which only its own watch tells of."""
        self._looks.forget()
        place = (self._view.watches.root, b"")
        known, state = self._view.known(place), self._look(place)
        if known is not None and state is not None:
            self._edits.attributes(place, known, state, self._when(record), writing=False)

    def move(self, move: Move, queue: Pairing) -> None:
        """Report a rename; what follows in the queue may be the other half of an exchange."""
        self._looks.forget()
        source = self._end(move.source)
        target = self._end(move.target) or (self._arrived(source) if source else None)
        record = move.source or move.target
        assert record is not None
        when, is_dir = self._when(record), bool(record.mask & ISDIR)
        if source and target:
            if self._is_exchange(source, target, queue.peek()):
                queue.drop()
                self._exchange(source, target, when)
            else:
                self._within(source, target, when, is_dir=is_dir)
        elif source:
            self._out(source, when)
        elif target:
            self._in(target, when, is_dir=is_dir)
        if source:
            self._left(source)

    def reconcile(self, item: Record | Move) -> None:
        """Look again at the names in a record from before a scan's end, which may have told it already."""
        records = (item.source, item.target) if isinstance(item, Move) else (item,)
        for record in records:
            directory = self._view.watches.of(record.wd) if record else None
            if record and directory and record.name:
                self._settling.close((directory, record.name))
                self._scanner.reconcile((directory, record.name), "rescan")

    def settle(self, *, everything: bool = False) -> None:
        """Report files that are still being written to and whose window is over."""
        self._looks.forget()
        due = self._settling.due(self._clock())
        if everything:
            due += [(place, False) for place in self._settling.all()]
        for place, settled in due:
            known = None if place[0].gone else self._view.known(place)
            if known is not None and not known.is_dir:
                self._still_open(place, known, settled=settled)
        if self._settling.deadline() is None:
            self._writers.clear()

    def look_again(self) -> None:
        """Look at paths that had been out of sight; called when no record is waiting."""
        self._looks.forget()
        for place, overdue in self._unseen.places(self._clock()):
            state = self._look(place)
            if state is not None or overdue or self._view.known(place) is None:
                self._scanner.reconcile(place, "rescan")
                self._resolved(place, overdue=overdue)

    def _resolved(self, place: Place, *, overdue: bool) -> None:
        child = place[0].children.get(place[1])
        if child is None or child.wd is not None or child.refused:
            self._unseen.discard(place)
        elif overdue:  # a directory that is mounted twice is watched under its first name only
            self._scanner.unwatched.refuse(child, None)
            self._unseen.discard(place)

    def _create(self, place: Place, record: Record, kind: Kind = "create") -> None:
        if self._view.known(place) is not None:
            return  # a scan has reported it
        is_dir = bool(record.mask & ISDIR)
        state = self._see_new(place, is_dir=is_dir)
        linked = state is not None and state.links > 1
        when = self._when(record)
        met = self._see_ahead(place, is_dir=is_dir) if state is None else None
        child = self._view.appear(place, state, when, is_dir=is_dir, hashed=linked, kind=kind, met=met)
        if state is not None and state.is_regular and not linked:
            self._settling.made(place, self._clock())
        self._seen(place, state)
        if child is not None and state is not None:
            self._scanner.compare(child, "rescan")

    def _close_write(self, place: Place, record: Record) -> None:
        known = self._known(place, record)
        if known is None:
            return
        written = self._settling.close(place)
        self._writers.take(place)
        state = self._see(place, known)
        self._seen(place, state)
        if not self._edits.content(
            place, known, state, self._when(record), kind="closeWrite", written=written
        ):
            self._unseen.add(place, self._clock())

    def _delete(self, place: Place, record: Record) -> None:
        self._settling.close(place)
        self._unseen.discard(place)
        known = self._view.known(place)
        if known is not None:  # otherwise a scan has reported it
            self._view.vanish(place, known, self._when(record))

    def _attributes(self, place: Place, record: Record) -> None:
        known = self._known(place, record)
        if known is None:
            return
        state = self._see(place, known)
        self._seen(place, state)
        writing = place in self._settling or self._view.hashes.undecided(place)
        self._edits.attributes(place, known, state, self._when(record), writing=writing)
        child = place[0].children.get(place[1])
        if child is not None and child.refused:
            self._scanner.compare(child, "rescan", deep=False)

    def _pass_on(self, place: Place, record: Record) -> None:
        for mask, kind in _PASSED_ON.items():
            if record.mask & mask and not self._was_own(place, record):
                known = self._view.known(place)
                is_dir = bool(record.mask & ISDIR)
                state = known.state if known else None
                self._view.report.send(
                    self._view.report.event(kind, place, self._when(record), state, is_dir=is_dir)
                )

    def _was_own(self, place: Place, record: Record) -> bool:
        noted, told = self._own.was(place, record), self._who.is_own(record)
        return noted if told is None else told

    def _when(self, record: Record) -> When:
        return When(record.time_ns, "kernel", self._who.of(record))

    def _within(self, source: Place, target: Place, when: When, *, is_dir: bool) -> None:
        known = self._view.known(source)
        if known is None:
            self._in(target, when, is_dir=is_dir)
            return
        self._overwrite(target, when)
        self._settling.rename(source, target)
        self._unseen.rename(source, target)
        state = self._see(target, known)
        self._view.rename(source, target, known, state, when)
        self._seen(target, state)
        child = target[0].children.get(target[1])
        if child is not None and child.wd is None and not child.refused and state is not None:
            self._scanner.compare(child, "rescan")

    def _out(self, source: Place, when: When) -> None:
        self._settling.close(source)
        self._unseen.discard(source)
        known = self._view.known(source)
        if known is not None:
            self._view.move_out(source, known, when)

    def _left(self, source: Place) -> None:
        """Remember a name at which a rename left something that no record tells of: RENAME_WHITEOUT, or an
        exchange of files that were not seen under their names."""
        if self._look(source) is not None and not self._contested(source):
            self._unseen.add(source, self._clock())

    def _in(self, target: Place, when: When, *, is_dir: bool) -> None:
        self._overwrite(target, when)
        state = self._see_new(target, is_dir=is_dir)
        child = self._view.appear(target, state, when, is_dir=is_dir, hashed=True, kind="rename")
        self._seen(target, state)
        if child is not None and state is not None:
            self._scanner.compare(child, "rescan")

    def _overwrite(self, target: Place, when: When) -> None:
        known = self._view.known(target)
        if known is not None:
            self._settling.close(target)
            self._unseen.discard(target)
            self._view.vanish(target, known, when, extra="override")

    def _is_exchange(self, source: Place, target: Place, following: Record | Move | None) -> bool:
        """Tell whether two files swapped their names (RENAME_EXCHANGE), told as two renames in a row."""
        if not isinstance(following, Move) or self._end(following.source) != target:
            return False
        one, other = self._view.known(source), self._view.known(target)
        if self._end(following.target) != source or one is None or other is None:
            return False
        return self._is_at(target, one) and self._is_at(source, other)

    def _exchange(self, source: Place, target: Place, when: When) -> None:
        """Report a swap so that a replay ends right without a third name: target gone, rename, source new."""
        is_dir = bool((self._view.known(target) or Known(None, None, None)).is_dir)
        self._within(source, target, when, is_dir=False)
        state = self._see_new(source, is_dir=is_dir)
        child = self._view.appear(source, state, when, is_dir=is_dir, hashed=True)
        self._seen(source, state)
        if child is not None and state is not None:
            self._scanner.compare(child, "rescan")

    def _still_open(self, place: Place, known: Known, *, settled: bool) -> None:
        state = self._see(place, known)
        self._seen(place, state)
        when = found("kernel", self._writers.take(place))
        if settled:
            if not self._edits.content(place, known, state, when, kind="modify", written=True):
                self._unseen.add(place, self._clock())
        elif state is not None:
            self._edits.still_written(place, known, state, when)

    def _end(self, record: Record | None) -> Place | None:
        directory = self._view.watches.of(record.wd) if record else None
        if record is None or directory is None or self._is_excluded(directory, record):
            return None
        return directory, record.name

    def _is_excluded(self, directory: Directory, record: Record) -> bool:
        return self._scanner.is_excluded((directory, record.name), is_dir=bool(record.mask & ISDIR))

    def _known(self, place: Place, record: Record) -> Known | None:
        """Return what is known of a name; one that slipped through is reported now, if it is there."""
        known = self._view.known(place)
        if known is None and self._look(place) is not None:
            is_dir = bool(record.mask & ISDIR)
            kind = self._scanner.kind_of_new(place, is_dir=is_dir)
            self._create(place, record._replace(mask=CREATE | record.mask & ISDIR), kind)
            known = self._view.known(place)
        return known

    def _see(self, place: Place, known: Known) -> State | None:
        """Look at a place; None if what is there is not what is known under that name."""
        if known.state is None:
            return self._see_new(place, is_dir=known.is_dir)
        state = self._look(place)
        return state if state is not None and state.identity == known.state.identity else None

    def _see_new(self, place: Place, *, is_dir: bool) -> State | None:
        """Look at a place that nothing is known of; while records wait, another file may be there."""
        state = self._look(place)
        if state is None or state.is_dir != is_dir or self._contested(place):
            return None
        return state if not self._behind() or not self._moving() or self._in_place(place[0]) else None

    def _see_ahead(self, place: Place, *, is_dir: bool) -> State | None:
        """Look at what was made at a place, and renamed before anybody could look, under its later name."""
        later = self._ahead(place)
        state = self._look(later) if later else None
        if later is None or state is None or state.is_dir != is_dir or state.birth_ns <= 0:
            return None
        return state if self._in_place(later[0]) else None

    def _in_place(self, directory: Directory) -> bool:
        state = self._look((directory, b""))
        return state is not None and state.identity == directory.identity

    def _is_at(self, place: Place, known: Known) -> bool:
        state = self._look(place)
        return state is not None and known.state is not None and state.identity == known.state.identity

    def _look(self, place: Place) -> State | None:
        """Look at a place; one that cannot be looked at is as good as out of sight."""
        return self._looks.look(place)

    def _seen(self, place: Place, state: State | None) -> None:
        if state is None:
            self._unseen.add(place, self._clock())
        else:
            self._resolved(place, overdue=False)
