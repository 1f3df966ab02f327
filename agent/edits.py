"""Reports what happens to a file that stays where it is: written, changed in attributes, found different."""

from __future__ import annotations

from agent import changes
from agent.baseline import Known
from agent.changes import Difference
from agent.event import Former, HashStatus, Kind
from agent.extended import outdated
from agent.files import State
from agent.hashing import Digest
from agent.report import Place, When, add_difference, add_digest, describe
from agent.view import View
from agent.waits import Wait


class Edits:
    """The changes of single files in a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._report = view.report
        self._hashes = view.hashes
        self._hashes.lost = self._lost

    def content(
        self, place: Place, known: Known, state: State | None, when: When, *, kind: Kind, written: bool
    ) -> bool:
        """Report a closeWrite, or a modify that has settled: hashed where the content may be new.

        A hash that takes long is told by `hashed`, and nothing else waits for it. False: the file was out of
        sight, and has to be looked at again.
        """
        known = self._overtake(place, known)
        if state is not None and known.state is None:
            state = self._view.meet(place, state)
        digest = self._digest(place, known, state, when, written=written) if state else None
        if digest is None and state is not None:
            if not self._hashes.tell_later(place, state, when, kind, written=written):
                self._unhashed(kind, place, known, state, when, None, written=written)
            return True
        self._hashes.waits.end(place)
        if digest is None:
            self._out_of_sight(kind, place, known, when, written=written)
        else:
            self._told(kind, place, known, digest, when, written=written)
        return digest is not None and digest.status != "vanished"

    def hashed(self, wait: Wait, known: Known, digest: Digest) -> None:
        """Report what has waited for its hash, with the attributes that have been told meanwhile."""
        assert wait.kind is not None
        state = _with_old_attributes(known.state, digest.state)
        self._told(
            wait.kind, wait.place, known, digest._replace(state=state), wait.when, written=wait.written
        )

    def announce(self, wait: Wait, known: Known) -> None:
        """Report a change whose hash takes long, as a modify before the event that waits for the hash."""
        old, state = known.state, wait.state
        if wait.written or old is None or (old.size, old.mtime_ns) != (state.size, state.mtime_ns):
            self._unhashed("modify", wait.place, known, state, wait.when, None, written=False)

    def give_up(self, place: Place, status: HashStatus | None = None) -> None:
        """Report without its hash what waits for it: `unstable`, the file is being written to again."""
        wait = self._hashes.waits.end(place)
        known = self._view.known(place)
        if wait is not None and known is not None:
            self._unhashed_wait(wait, known, status)

    def still_written(self, place: Place, known: Known, state: State, when: When) -> None:
        """Report that a file was written to and is still open: its content is not worth a hash yet."""
        self._unhashed("modify", place, known, state, when, "unstable", written=False)

    def attributes(
        self, place: Place, known: Known, state: State | None, when: When, *, writing: bool
    ) -> None:
        """Report a change of attributes; `writing`: size and times belong to a write still to be told."""
        old = known.state
        if state is not None:
            state = self._view.extend(place, state, old, again=True)
        event = self._report.event("attribute", place, when, state, is_dir=known.is_dir, known=known)
        if old is not None and state is not None:
            times = not writing and (known.is_dir or old.size == state.size)
            add_difference(event, changes.of_attributes(old, state, times=times))
            if times and known.sha256 and old.ctime_ns:
                add_digest(event, Digest("ok", known.sha256, state))
            self._view.put(place, known._replace(state=_with_new_attributes(old, state, times=times)))
        self._report.send(event)

    def refresh(
        self, place: Place, known: Known, state: State, when: When, hashed: Digest | None = None
    ) -> None:
        """Report how a path that is known differs from what is on disk, if it does.

        Where only its hash can tell, that is decided later, and this called again with `hashed`.
        """
        if hashed is None and self._is_as_told(known, state):
            return
        if known.state is not None and known.state.identity != state.identity:
            state = self._view.lives.begin(state)
        state = self._view.extend(place, state, known.state)
        digest = hashed._replace(state=state) if hashed else Digest("ok", known.sha256, state)
        if not known.is_dir and not hashed and self._is_doubtful(known, state):
            known, found = self._digest_found(place, known, state, when)
            if found is None:
                self._found_attributes(place, known, state, when)
                return
            digest = found
        if digest.status != "vanished":  # what took its place is told by a record, or by the next look
            self._refresh(place, known, digest, when)

    def _digest_found(
        self, place: Place, known: Known, state: State, when: When
    ) -> tuple[Known, Digest | None]:
        """Hash what may have changed; None: not now, and whatever waits for the hash will tell."""
        if self._hashes.is_to_be_told(place, state):
            return known, None
        known = self._overtake(place, known)
        digest = self._view.digest(place, state, when)
        if digest is None:
            self._hashes.decide_later(place, state, when)
        else:
            self._hashes.waits.end(place)
        return known, digest

    def _refresh(self, place: Place, known: Known, digest: Digest, when: When) -> None:
        old = known.state
        content: Difference = ([], Former())
        if not known.is_dir:
            content = changes.of_content(known, digest.state, digest.sha256)
            if old and not old.ctime_ns and digest.sha256 and "data" not in content[0]:
                content[0].insert(0, "data")  # its closeWrite was never told
        told = "data" in content[0] or "size" in content[0]
        if told:
            self._found("modify", place, known, digest, when, content)
            old = old and old._replace(mtime_ns=digest.state.mtime_ns, atime_ns=digest.state.atime_ns)
        elif digest.sha256 and not known.sha256:
            self._found("baseline", place, known, digest, when, ([], Former()))
        attributes = changes.of_attributes(old, digest.state, times=not known.is_dir)
        if attributes[0] and attributes[0] != ["atime"]:
            self._found("attribute", place, known, digest, when, attributes)
        if attributes[0] or digest.sha256 != known.sha256 or _outdated(known, digest.state):
            self._view.put(place, Known(known.directory, _as_told(digest, old, told=told), digest.sha256))

    def _found(
        self, kind: Kind, place: Place, known: Known, digest: Digest, when: When, difference: Difference
    ) -> None:
        event = self._report.event(kind, place, when, digest.state, is_dir=known.is_dir, known=known)
        if known.is_dir:
            describe(event, digest.state)
        elif digest.sha256 or digest.status != "ok":
            add_digest(event, digest)
        add_difference(event, difference)
        if kind == "modify":
            event.previous_sha256 = _former_sha256(known)
        self._report.send(event)

    def _found_attributes(self, place: Place, known: Known, state: State, when: When) -> None:
        """Report what differs whatever the content is."""
        difference = changes.of_attributes(known.state, state, times=False)
        if known.state is not None and difference[0]:
            self._found("attribute", place, known, Digest("ok", None, state), when, difference)
            attributes = _with_new_attributes(known.state, state, times=False)
            self._view.put(place, known._replace(state=attributes))

    def _told(
        self, kind: Kind, place: Place, known: Known, digest: Digest, when: When, *, written: bool
    ) -> None:
        event = self._report.event(kind, place, when, digest.state, is_dir=False, known=known)
        event.written = written
        add_digest(event, digest)
        add_difference(event, changes.of_content(known, digest.state, digest.sha256))
        event.previous_sha256 = _former_sha256(known)
        self._report.send(event)
        told = _as_told(digest, known.state, told=True)
        state = _with_old_attributes(known.state, told)
        self._view.put(place, Known(known.directory, state, digest.sha256))

    def _unhashed_wait(self, wait: Wait, known: Known, status: HashStatus | None = None) -> None:
        if wait.kind is not None:
            self._unhashed(wait.kind, wait.place, known, wait.state, wait.when, status, written=wait.written)

    def _unhashed(
        self,
        kind: Kind,
        place: Place,
        known: Known,
        state: State,
        when: When,
        status: HashStatus | None,
        *,
        written: bool,
    ) -> None:
        event = self._report.event(kind, place, when, state, is_dir=False, known=known)
        event.written, event.hash_status = written and kind == "closeWrite", status
        difference = changes.of_content(known._replace(sha256=None), state, None)
        add_difference(event, difference if difference[0] else (["data"], difference[1]))
        event.previous_sha256 = _former_sha256(known)
        self._report.send(event)
        unhashed = _with_old_attributes(known.state, state)._replace(ctime_ns=0)
        self._view.put(place, known._replace(state=unhashed))

    def _out_of_sight(self, kind: Kind, place: Place, known: Known, when: When, *, written: bool) -> None:
        event = self._report.event(kind, place, when, None, is_dir=known.is_dir, known=known)
        event.written, event.hash_status = written, "vanished"
        self._report.send(event)

    def _lost(self, wait: Wait) -> None:
        known = self._view.known(wait.place)
        if wait.kind is not None and known is not None:
            self._out_of_sight(wait.kind, wait.place, known, wait.when, written=wait.written)

    def _overtake(self, place: Place, known: Known) -> Known:
        """Tell first what still waits for its hash; returns what is known then."""
        wait = self._hashes.waits.get(place)
        if wait is None or wait.kind is None:
            return known
        self._unhashed_wait(wait, known)
        return self._view.known(place) or known

    def _is_as_told(self, known: Known, state: State) -> bool:
        old = known.state
        if old is None or old.extended is None or not (old.extended.current and state.same(old)):
            return False
        return known.is_dir or known.sha256 is not None or not self._hashes.wants(state)

    def _is_doubtful(self, known: Known, state: State) -> bool:
        """Tell whether content may have changed, or was never told, as that of a baseline without a hash."""
        if known.state is None or not state.same_content(known.state):
            return True
        return known.sha256 is None and self._hashes.wants(state)

    def _digest(
        self, place: Place, known: Known, state: State, when: When, *, written: bool
    ) -> Digest | None:
        if not written and known.sha256 and known.state and state.same_content(known.state):
            return Digest("ok", known.sha256, state)
        return self._view.digest(place, state, when)


def _former_sha256(known: Known) -> str | None:
    return known.sha256.hex() if known.sha256 else None


def _outdated(known: Known, state: State) -> bool:
    old = known.state
    if old is None or old.identity != state.identity:
        return True
    if state.extended is not None and not (old.extended and old.extended.current):
        return True
    return not known.is_dir and not state.same_content(old)


def _as_told(digest: Digest, old: State | None, *, told: bool) -> State:
    """Return the state to know a file by: not as of content that nobody could read to its end."""
    if digest.status not in ("unstable", "vanished"):
        return digest.state
    return digest.state._replace(ctime_ns=0 if told or old is None else old.ctime_ns)


def _with_old_attributes(old: State | None, state: State) -> State:
    """Leave mode and owner as they were reported: the kernel tells of their change in a record of its own."""
    return state.adopting(old).having(outdated(old.extended)) if old else state


def _with_new_attributes(old: State, state: State, *, times: bool) -> State:
    changed = old.adopting(state)
    if not times:
        return changed
    ctime_ns = state.ctime_ns if old.ctime_ns else 0
    return changed._replace(mtime_ns=state.mtime_ns, atime_ns=state.atime_ns, ctime_ns=ctime_ns)
