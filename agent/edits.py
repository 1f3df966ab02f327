"""Reports what happens to a file that stays where it is: written, changed in attributes, found different."""

from __future__ import annotations

from agent import changes
from agent.baseline import Known
from agent.changes import Difference
from agent.event import Former, Kind
from agent.files import State
from agent.hashing import Digest
from agent.report import Place, When, add_difference, add_digest, describe
from agent.view import View


class Edits:
    """The changes of single files in a view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._report = view.report

    def content(
        self, place: Place, known: Known, state: State | None, when: When, *, kind: Kind, written: bool
    ) -> None:
        """Report a closeWrite, or a modify that has settled: hashed where the content may be new."""
        event = self._report.event(kind, place, when, state, is_dir=known.is_dir, known=known)
        event.written = written
        if state is None:
            event.hash_status = "vanished"
            self._report.send(event)
            return
        digest = self._digest(place, known, state, written=written)
        add_digest(event, digest)
        add_difference(event, changes.of_content(known, digest.state, digest.sha256))
        event.previous_sha256 = _former_sha256(known)
        self._report.send(event)
        self._view.put(
            place, Known(known.directory, _with_old_attributes(known.state, digest.state), digest.sha256)
        )

    def still_written(self, place: Place, known: Known, state: State, when: When) -> None:
        """Report that a file was written to and is still open: its content is not worth a hash yet."""
        event = self._report.event("modify", place, when, state, is_dir=False, known=known)
        event.hash_status = "unstable"
        difference = changes.of_content(known._replace(sha256=None), state, None)
        add_difference(event, difference if difference[0] else (["data"], difference[1]))
        event.previous_sha256 = _former_sha256(known)
        self._report.send(event)
        unhashed = _with_old_attributes(known.state, state)._replace(ctime_ns=0)
        self._view.put(place, known._replace(state=unhashed))

    def attributes(
        self, place: Place, known: Known, state: State | None, when: When, *, writing: bool
    ) -> None:
        """Report a change of attributes; `writing`: size and times belong to a write still to be told."""
        event = self._report.event("attribute", place, when, state, is_dir=known.is_dir, known=known)
        old = known.state
        if old is not None and state is not None:
            times = not writing and (known.is_dir or old.size == state.size)
            add_difference(event, changes.of_attributes(old, state, times=times))
            if times and known.sha256 and old.ctime_ns:
                add_digest(event, Digest("ok", known.sha256, state))
            self._view.put(place, known._replace(state=_with_new_attributes(old, state, times=times)))
        self._report.send(event)

    def refresh(self, place: Place, known: Known, state: State, when: When) -> None:
        """Report how a path that is known differs from what is on disk, if it does."""
        old = known.state
        content: Difference = ([], Former())
        digest = Digest("ok", known.sha256, state)
        if not known.is_dir and not (old and state.same_content(old)):
            digest = self._view.digest(place, state)
            content = changes.of_content(known, digest.state, digest.sha256)
            if old and not old.ctime_ns and not known.sha256 and digest.sha256 and "data" not in content[0]:
                content[0].insert(0, "data")  # its closeWrite was never told
        if "data" in content[0] or "size" in content[0]:
            self._found("modify", place, known, digest, when, content)
            old = old and old._replace(mtime_ns=digest.state.mtime_ns, atime_ns=digest.state.atime_ns)
        attributes = changes.of_attributes(old, digest.state, times=not known.is_dir)
        if attributes[0] and attributes[0] != ["atime"]:
            self._found("attribute", place, known, digest, when, attributes)
        if attributes[0] or digest.sha256 != known.sha256 or _outdated(known, digest.state):
            self._view.put(place, Known(known.directory, digest.state, digest.sha256))

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

    def _digest(self, place: Place, known: Known, state: State, *, written: bool) -> Digest:
        if not written and known.sha256 and known.state and state.same_content(known.state):
            return Digest("ok", known.sha256, state)
        return self._view.digest(place, state)


def _former_sha256(known: Known) -> str | None:
    return known.sha256.hex() if known.sha256 else None


def _outdated(known: Known, state: State) -> bool:
    if known.state is None or known.is_dir:
        return known.state is None or known.state.identity != state.identity
    return not state.same_content(known.state)


def _with_old_attributes(old: State | None, state: State) -> State:
    """Leave mode and owner as they were reported: the kernel tells of their change in a record of its own."""
    return state._replace(mode=old.mode, uid=old.uid, gid=old.gid) if old else state


def _with_new_attributes(old: State, state: State, *, times: bool) -> State:
    changed = old._replace(mode=state.mode, uid=state.uid, gid=state.gid)
    if not times:
        return changed
    ctime_ns = state.ctime_ns if old.ctime_ns else 0
    return changed._replace(mtime_ns=state.mtime_ns, atime_ns=state.atime_ns, ctime_ns=ctime_ns)
